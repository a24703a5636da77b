"""Which modules compute their activations again, and how many of them."""

from __future__ import annotations

from copy import deepcopy
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from bigmodel_lab.tips.activation_checkpointing import propose
from bigmodel_lab.tips.base import Evidence
from tests.tips.by_hand import training_peak
from tests.tips.evidences import Convolutions, Layers, healthy, predicted, ran_out, with_config


class Deep(Convolutions):
    """Many blocks."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*(deepcopy(self.blocks[0]) for _ in range(10)))


class Part(nn.Module):
    """Some convolutions, in a container that repeats nothing."""

    def __init__(self, *channels: int) -> None:
        super().__init__()
        pairs = enumerate(pairwise(channels))
        self.layers = nn.ModuleDict({str(number): nn.Conv2d(*pair, 3, padding=1) for number, pair in pairs})

    def forward(self, x: Tensor) -> Tensor:
        """Shape (samples, last of the channels, height, width)."""
        for layer in self.layers.values():
            x = nn.functional.gelu(layer(x))
        return x


class Uneven(nn.Module):
    """Two parts that no list repeats; that which is named last runs first, and holds most of the activations at the peak."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.late = Part(16, 16, 16)
            self.early = Part(1, 16, 16, 16, 16)
            self.head = nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Scores of ten classes, shape (samples, 10)."""
        scores: Tensor = self.head(self.late(self.early(x)).mean((2, 3)))
        return scores


def checkpointed(model: nn.Module, images: Tensor) -> Tensor:
    """Every block of ``Convolutions`` by hand."""
    assert isinstance(model, Convolutions)
    x = model.stem(images)
    for block in model.blocks:
        x = checkpoint(block, x, use_reentrant=False)
    scores: Tensor = model.head(x.flatten(1))
    return scores


def names(evidence: Evidence) -> tuple[str, ...]:
    """The modules of the proposal."""
    proposal = propose(evidence)
    assert proposal is not None
    return tuple(proposal.change["activation_checkpointing"])


def test_the_step_by_hand_is_in_the_range() -> None:
    """``torch.utils.checkpoint`` around each block, on a simulated card."""
    proposal = propose(predicted(free_mib=50))
    peak = training_peak(Convolutions(), forward=checkpointed)

    assert proposal is not None
    assert len(proposal.change["activation_checkpointing"]) == 3
    assert proposal.memory is not None
    assert proposal.memory.least_bytes <= peak <= proposal.memory.most_bytes


@pytest.mark.parametrize("free_mib", [140, 150, 170])
def test_as_few_blocks_as_make_it_fit(free_mib: int) -> None:
    """With one less it does not."""
    evidence = predicted(Deep, free_mib=free_mib)
    chosen = names(evidence)

    assert evidence.would_fit() is False
    assert evidence.would_fit(activation_checkpointing=chosen) is True
    assert len(chosen) == 1 or evidence.would_fit(activation_checkpointing=chosen[:-1]) is False


def test_all_blocks_where_none_is_enough() -> None:
    """They save much, and something else must help besides."""
    evidence = predicted(free_mib=40)

    assert names(evidence) == ("blocks.0", "blocks.1", "blocks.2")
    assert evidence.would_fit(activation_checkpointing=names(evidence)) is False


@pytest.mark.parametrize("ran", [False, True], ids=["nearly full", "ran out"])
def test_a_step_that_was_predicted_to_fit_shrinks(ran: bool) -> None:
    """Memory is short all the same, so one block of many, which saves next to nothing, is not enough."""
    full = ran_out() if ran else None
    evidence = predicted(Deep, free_mib=900 if ran else 205, out_of_memory=full)
    proposal = propose(evidence)

    assert evidence.would_fit() is True
    assert evidence.memory_pressure is not None
    assert proposal is not None
    assert proposal.memory is not None
    assert len(proposal.change["activation_checkpointing"]) > 1
    assert proposal.memory.saved_bytes > 0.1 * proposal.memory.before_bytes


def test_the_parts_of_a_model_without_repeated_blocks() -> None:
    """Those with the largest activations first."""
    assert names(predicted(Uneven, free_mib=25)) == ("early", "late")


def test_silent_where_the_optimizer_is_the_peak() -> None:
    """There are no activations then."""
    assert propose(predicted(Layers, free_mib=200)) is None


def test_silent_where_it_is_on() -> None:
    """Once is enough."""
    assert propose(with_config(predicted(free_mib=60), activation_checkpointing=("blocks.0",))) is None


def test_silent_without_a_prediction() -> None:
    """Nobody knows where the activations are."""
    assert propose(healthy(memory=None, out_of_memory=ran_out())) is None


def test_changes_no_arithmetic() -> None:
    """So it may be applied without asking."""
    proposal = propose(predicted(free_mib=60))

    assert proposal is not None
    assert (proposal.changes_arithmetic, proposal.safe) == (False, True)
