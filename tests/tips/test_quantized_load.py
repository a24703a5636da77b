"""Weights in int8: what shrinks, and what does not."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from bigmodel_lab.estimate import estimate_memory
from bigmodel_lab.tips._predict import Predictor
from bigmodel_lab.tips.quantized_load import propose
from tests.tips.by_hand import answering_peak
from tests.tips.evidences import PLATFORM, SMALL, Convolutions, Layers, answering, predicted

ANSWERS = answering(Layers, free_mib=60)


class Int8(nn.Module):
    """A linear layer as torchao's weight-only one computes: its numbers are full ones while it multiplies."""

    weight: Tensor
    scale: Tensor
    bias: Tensor

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        full = linear.weight.detach()
        scale = full.abs().amax(1, keepdim=True) / 127
        self.register_buffer("weight", (full / scale).round().to(torch.int8))
        self.register_buffer("scale", scale.squeeze(1))
        self.register_buffer("bias", linear.bias.detach())

    def forward(self, x: Tensor) -> Tensor:
        """Shape (samples, outputs)."""
        return nn.functional.linear(x, self.weight.to(x.dtype)) * self.scale + self.bias


class Tied(nn.Module):
    """The last layer's weight is that of the embedding; between them is a body of layers without such a twin."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.embedding = nn.Embedding(4096, 512)
            self.body = nn.Sequential(*(nn.Linear(512, 512) for _ in range(40)))
            self.head = nn.Linear(512, 4096)
        self.head.weight = self.embedding.weight

    def forward(self, x: Tensor) -> Tensor:
        """Scores of the vocabulary for the first place, shape (samples, 4096)."""
        scores: Tensor = self.head(self.body(self.embedding(x[:, 0, 0, 0].long())))
        return scores


def in_int8(model: nn.Module) -> nn.Module:
    """Every linear layer replaced."""
    for name, child in model.named_children():
        setattr(model, name, Int8(child) if isinstance(child, nn.Linear) else in_int8(child))
    return model


def test_the_pass_by_hand_is_in_the_range() -> None:
    """Layers of bytes, on a simulated card."""
    proposal = propose(ANSWERS)
    peak = answering_peak(in_int8(Layers()))

    assert proposal is not None
    assert proposal.memory is not None
    assert proposal.memory.least_bytes <= peak <= proposal.memory.most_bytes


def test_silent_where_no_linear_layer_is_large() -> None:
    """Convolutions stay as they are."""
    assert propose(answering(Convolutions, free_mib=16)) is None


def test_a_weight_that_is_an_embedding_too_stays_in_full() -> None:
    """Its int8 lies beside it: the pass by hand, on a simulated card."""
    batch = torch.empty(64, 1, 28, 28, device="meta")
    estimate = estimate_memory(Tied(), batch, step=lambda run, x: run(x), mode="inference", gpu="2GiB")
    proposal = propose(replace(ANSWERS, predictor=Predictor(estimate, SMALL)))
    peak = answering_peak(in_int8(Tied()))

    assert proposal is not None
    assert proposal.memory is not None
    assert proposal.memory.least_bytes <= peak <= proposal.memory.most_bytes


def test_silent_in_training() -> None:
    """Its weights must move."""
    assert propose(predicted(Layers, free_mib=200)) is None


def test_silent_where_memory_is_not_short() -> None:
    """Answers would change for nothing."""
    assert propose(answering(Layers, free_mib=900)) is None


def test_what_is_missing_is_named() -> None:
    """With the line that installs it, and only then."""
    there = replace(ANSWERS, platform=replace(PLATFORM, packages=frozenset(("torchao",))))
    lines = [proposal.code[0].text for proposal in map(propose, (ANSWERS, there)) if proposal is not None]

    assert ["pip install" in one for one in lines] == [True, False]
