"""The learning rate that goes with another batch."""

from __future__ import annotations

from dataclasses import replace

from bigmodel_lab.tips.base import Evidence
from bigmodel_lab.tips.learning_rate import propose
from bigmodel_lab.training import TrainConfig
from tests.tips.evidences import healthy

DOCUMENTED = TrainConfig(optimizer="sgd", learning_rate=0.1, micro_batch_size=64)


def trained_with(**settings: object) -> Evidence:
    """A run of the documented model with other settings."""
    return healthy(config=replace(DOCUMENTED, **settings), documented=DOCUMENTED)  # type: ignore[arg-type]


def test_accumulation_counts() -> None:
    """What matters is how many samples stand behind a step."""
    proposal = propose(trained_with(gradient_accumulation_steps=2))

    assert proposal is not None
    assert proposal.change == {"learning_rate": 0.2}


def test_silent_where_the_effective_batch_stays() -> None:
    """A smaller micro-batch, accumulated, is the same training."""
    assert propose(trained_with(micro_batch_size=16, gradient_accumulation_steps=4)) is None


def test_a_smaller_batch_lowers_it() -> None:
    """The rules hold both ways."""
    proposal = propose(trained_with(micro_batch_size=32))

    assert proposal is not None
    assert proposal.change == {"learning_rate": 0.05}


def test_names_both_rules() -> None:
    """With their numbers: linear, and by the square root."""
    proposal = propose(trained_with(micro_batch_size=256))

    assert proposal is not None
    assert "linearly (usual for SGD) it is 0.4" in proposal.why
    assert "square root (usual for Adam) 0.2" in proposal.why


def test_silent_with_another_optimizer() -> None:
    """The documented rate says nothing about it."""
    assert propose(trained_with(micro_batch_size=256, optimizer="adam")) is None


def test_silent_where_nothing_is_trained() -> None:
    """A model that only answers has no learning rate."""
    assert propose(replace(trained_with(micro_batch_size=256), mode="inference")) is None
