"""Small plans to trace."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from bigmodel_lab.estimate._plan import Plan
from bigmodel_lab.estimate._source import ModelSource


class Blocks(nn.Module):
    """Two repeated blocks between two layers."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(16, 64)
        self.blocks = nn.ModuleList(nn.Sequential(nn.Linear(64, 256), nn.GELU(), nn.Linear(256, 64)) for _ in range(2))
        self.last = nn.Linear(64, 4)

    def forward(self, x: Tensor) -> Tensor:
        """Four numbers of sixteen."""
        x = self.first(x)
        for block in self.blocks:
            x = block(x)
        out: Tensor = self.last(x)
        return out


def source(build: Callable[[], nn.Module] = Blocks) -> ModelSource:
    """A model on the meta device."""

    def on_meta() -> nn.Module:
        with torch.device("meta"):
            return build()

    return ModelSource("small", on_meta)


def plan(build: Callable[[], nn.Module] = Blocks, samples: int = 8, **changes: Any) -> Plan:
    """The sum of the outputs as the loss, of samples of 16 numbers."""
    batch = torch.empty(samples, 16, device="meta")
    made = Plan(source(build), lambda model, x: model(x).sum(), batch, samples)
    return replace(made, **changes)
