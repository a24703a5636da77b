"""A model and data so small that a run takes milliseconds, and a way to act in the middle of one."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

import bigmodel_lab as lab


def tiny(seed: int = 0, dropout: float = 0.2) -> nn.Module:
    """20 → 16 → 3 with dropout and batch statistics, the same weights each time."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(20, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(dropout), nn.Linear(16, 3))


def numbers(samples: int = 118) -> tuple[torch.Tensor, torch.Tensor]:
    """Samples and labels of three classes that a small model can learn."""
    made = torch.Generator().manual_seed(0)
    x = torch.randn(samples, 20, generator=made)
    return x, x[:, :3].argmax(dim=1)


def same(one: nn.Module, other: nn.Module) -> bool:
    """Both models have the same weights and batch statistics, bit for bit."""
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def at_step(run: lab.TrainingRun, step: int, act: Callable[[], object]) -> None:
    """Have ``act()`` called between two steps, when the run, not started yet, has made this many."""

    def look() -> None:
        if run._trainer.steps_made == step:
            act()
        else:
            run._log.mailbox.call_soon(look)

    run._log.mailbox.call_soon(look)
