"""A small model that runs out of memory when a batch has too many samples, and data for it; all in float64."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

MESSAGE = "CUDA out of memory. Tried to allocate 2.00 GiB."
SAMPLES, BATCH = 27, 10
"""Batches of 10, 10 and 7."""


class _Full(torch.autograd.Function):
    """Lets everything through; there is no memory for its backward pass."""

    @staticmethod
    def forward(_: Any, x: Tensor) -> Tensor:
        """The same."""
        return x.clone()

    @staticmethod
    def backward(_: Any, grad: Tensor) -> Tensor:
        """Fails."""
        del grad
        raise torch.OutOfMemoryError(MESSAGE)


class Limited(nn.Module):
    """4 → 8 → 2. Runs out where a batch has more than ``most`` samples, in the pass that ``where`` names."""

    def __init__(self, most: int | None = None, where: str = "forward", dropout: float = 0.0) -> None:
        super().__init__()
        self.most, self.where, self.dropout = most, where, dropout
        self.passes = 0
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.features = nn.Linear(4, 8, dtype=torch.float64)
            self.head = nn.Linear(8, 2, dtype=torch.float64)
        self.register_buffer("seen", torch.zeros(()))

    def full(self, samples: int) -> bool:
        """Whether a batch of so many does not fit."""
        return self.most is not None and samples > self.most

    def forward(self, x: Tensor) -> Tensor:
        """Scores, shape (samples, 2)."""
        self.passes += 1
        self.seen += len(x)
        hidden = nn.functional.dropout(torch.tanh(self.features(x)), self.dropout, training=self.training)
        if self.full(len(x)):
            if self.where == "forward":
                raise torch.OutOfMemoryError(MESSAGE)
            hidden = _Full.apply(hidden)
        scores: Tensor = self.head(hidden)
        return scores


class FullAt(Limited):
    """Runs out in one pass, by its number from 1, however few samples it has."""

    def __init__(self, at: int, where: str = "forward") -> None:
        super().__init__(where=where)
        self.at = at

    def full(self, samples: int) -> bool:
        """At that one."""
        del samples
        return self.passes == self.at


class Wide(nn.Module):
    """Few weights, and much that is kept for the backward pass: 800 kB a sample and layer."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(4, 4, dtype=torch.float64) for _ in range(6))
        self.head = nn.Linear(4, 2, dtype=torch.float64)

    def forward(self, x: Tensor) -> Tensor:
        """Scores, shape (samples, 2)."""
        for layer in self.layers:
            x = layer(x)
            x = x + x[:, :1].expand(-1, 100_000).exp().mean(1, keepdim=True)
        scores: Tensor = self.head(x)
        return scores


class FullOptimizer(torch.optim.SGD):
    """Runs out in its second step, when some weights are changed."""

    made = 0

    def step(self, closure: Any = None) -> Any:
        """One step; the second breaks off."""
        loss = super().step(closure)
        self.made += 1
        if self.made == 2:
            raise torch.OutOfMemoryError(MESSAGE)
        return loss


def dataset() -> TensorDataset:
    """Samples of two classes."""
    x = torch.randn(SAMPLES, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    return TensorDataset(x, (x[:, 0] > 0).long())


def apart(one: nn.Module, other: nn.Module) -> float:
    """The largest relative difference between the weights of two models."""
    pairs = zip(one.parameters(), other.parameters(), strict=True)
    return max(float(((a - b).norm() / b.norm()).detach()) for a, b in pairs)


def said(run: Any, kind: str) -> list[dict[str, Any]]:
    """What the events of one kind tell."""
    return [dict(event.data) for event in run._source.events() if event.kind == kind]


def noted(error: BaseException, words: str) -> bool:
    """Whether the last note of an error has these words; a Python before 3.11 shows no notes."""
    return words in getattr(error, "__notes__", [words])[-1]
