"""A model of few weights and wide activations, so that a search on a simulated card takes little time."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from bigmodel_lab.tips._found_batch_size import FoundBatchSize


class Broad(nn.Module):
    """8 → 4096 → 3 with batch statistics and dropout, the same weights each time."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.wide = nn.Linear(8, 4096)
            self.norm = nn.BatchNorm1d(4096)
            self.drop = nn.Dropout(0.2)
            self.head = nn.Linear(4096, 3)

    def forward(self, x: Tensor) -> Tensor:
        """Scores of three classes, shape (samples, 3)."""
        scores: Tensor = self.head(self.drop(torch.relu(self.norm(self.wide(x)))))
        return scores


def numbers(samples: int = 4000) -> tuple[Tensor, Tensor]:
    """Samples and labels."""
    made = torch.Generator().manual_seed(0)
    return torch.randn(samples, 8, generator=made), torch.arange(samples) % 3


def loss(model: nn.Module, batch: Any) -> Tensor:
    """As a person's loop computes it."""
    found: Tensor = nn.functional.cross_entropy(model(batch[0]), batch[1])
    return found


def masked_loss(model: nn.Module, batch: Any) -> Tensor:
    """The same, through a mask: how many labels there are depends on the data, so it cannot be traced."""
    known = batch[1] >= 0
    found: Tensor = nn.functional.cross_entropy(model(batch[0])[known], batch[1][known])
    return found


def picture(model: nn.Module, optimizer: torch.optim.Optimizer | None = None) -> list[Any]:
    """All that a training changes, in a form that ``==`` compares to the bit."""

    def plain(value: Any) -> Any:
        if isinstance(value, Tensor):
            return value.detach().clone().numpy().tobytes()
        if isinstance(value, dict):
            return {key: plain(one) for key, one in value.items()}
        return [plain(one) for one in value] if isinstance(value, list | tuple) else value

    return [
        {name: plain(value) for name, value in model.state_dict().items()},
        [plain(parameter.grad) for parameter in model.parameters()],
        [parameter.requires_grad for parameter in model.parameters()],
        [module.training for module in model.modules()],
        None if optimizer is None else plain(optimizer.state_dict()),
        plain(torch.get_rng_state()),
        random.getstate(),
    ]


@dataclass(frozen=True)
class Searched:
    """A search, and the state of everything on both sides of it."""

    found: FoundBatchSize
    before: list[Any]
    after: list[Any]
