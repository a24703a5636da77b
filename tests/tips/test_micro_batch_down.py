"""A smaller micro-batch: how small, and when nothing is said."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from bigmodel_lab.tips.base import Evidence, ModelFacts, Proposal
from bigmodel_lab.tips.micro_batch_down import propose
from tests.tips.by_hand import training_peak
from tests.tips.evidences import Convolutions, nearly_full, predicted, ran_out


class OneSize(nn.Module):
    """A number of samples is written into its forward pass."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = Convolutions()

    def forward(self, x: Tensor) -> Tensor:
        """Scores of 64 images."""
        scores: Tensor = self.inner(x.view(64, 1, 28, 28))
        return scores


FULL = predicted(free_mib=60)


def proposed(evidence: Evidence) -> Proposal:
    """What is said, where something must be."""
    proposal = propose(evidence)
    assert proposal is not None
    return proposal


@pytest.fixture(scope="module")
def proposal() -> Proposal:
    """On a card with too little memory."""
    return proposed(FULL)


@pytest.mark.parametrize("free_mib", [30, 40])
def test_the_size_is_one_that_fits(free_mib: int) -> None:
    """With the gradients that accumulation keeps meanwhile."""
    evidence = predicted(free_mib=free_mib)

    assert evidence.would_fit(**proposed(evidence).change) is True


def test_the_step_by_hand_is_in_the_range(proposal: Proposal) -> None:
    """Plain PyTorch with accumulated gradients, on a simulated card."""
    peak = training_peak(Convolutions(), micro_batch_size=proposal.change["micro_batch_size"])

    assert proposal.memory is not None
    assert proposal.memory.least_bytes <= peak <= proposal.memory.most_bytes


def test_the_samples_of_a_step_stay(proposal: Proposal) -> None:
    """The optimizer sees what it saw."""
    assert FULL.with_change(**proposal.change).effective_batch_size == FULL.config.effective_batch_size


def test_half_where_nothing_is_predicted() -> None:
    """Without a trace there is only the usual way."""
    assert proposed(nearly_full()).change["micro_batch_size"] == 32


def test_less_than_what_ran_out_although_it_was_predicted_to_fit() -> None:
    """The prediction was wrong, so it is not believed."""
    evidence = predicted(free_mib=900, out_of_memory=ran_out())

    assert proposed(evidence).change["micro_batch_size"] == 32


def test_silent_when_the_optimizer_ran_out() -> None:
    """The batch has left by then."""
    assert propose(predicted(free_mib=60, out_of_memory=ran_out("optimizer"))) is None


def test_silent_where_the_model_takes_no_other_size() -> None:
    """A step that cannot be made is not proposed, and its error stops nothing."""
    with torch.random.fork_rng():
        assert propose(predicted(OneSize, free_mib=60)) is None


def test_batch_norm_makes_it_unsafe() -> None:
    """Its statistics are those of the micro-batch."""
    evidence = replace(nearly_full(), model=ModelFacts(1000, 1000, batch_norms=2))
    proposal = proposed(evidence)

    assert (proposal.changes_arithmetic, proposal.safe) == (True, False)


def test_safe_without_such_layers() -> None:
    """The same gradients, added up in parts."""
    assert proposed(nearly_full()).safe
