"""Fewer samples at once, where a model only answers."""

from __future__ import annotations

from dataclasses import replace

from bigmodel_lab.tips.base import Proposal
from bigmodel_lab.tips.smaller_generation_batch import propose
from tests.tips.by_hand import answering_peak
from tests.tips.evidences import Convolutions, Layers, answering, nearly_full, predicted

ANSWERS = answering(Convolutions, free_mib=26)


def size(proposal: Proposal | None) -> int:
    """The samples that are proposed."""
    assert proposal is not None
    return int(proposal.title.split("→")[1])


def test_the_largest_that_fits() -> None:
    """One more does not."""
    chosen = size(propose(ANSWERS))

    assert ANSWERS.would_fit(micro_batch_size=chosen) is True
    assert ANSWERS.would_fit(micro_batch_size=chosen + 1) is False


def test_the_pass_by_hand_is_in_the_range() -> None:
    """So many images, on a simulated card."""
    proposal = propose(ANSWERS)
    peak = answering_peak(Convolutions(), samples=size(proposal))

    assert proposal is not None
    assert proposal.memory is not None
    assert proposal.memory.least_bytes <= peak <= proposal.memory.most_bytes


def test_silent_where_not_one_sample_fits() -> None:
    """The weights are too large."""
    assert propose(answering(Layers, free_mib=40)) is None


def test_silent_without_a_prediction() -> None:
    """Nobody knows what fits."""
    assert propose(nearly_full(mode="inference")) is None


def test_silent_in_training() -> None:
    """There the samples of a step stay, and a micro-batch is what shrinks."""
    assert propose(predicted(free_mib=60)) is None


def test_silent_where_memory_is_not_short() -> None:
    """Fewer at once are slower."""
    assert propose(replace(ANSWERS, card=predicted(free_mib=900).card)) is None
