"""Small runs whose settings are changed in their middle."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from bigmodel_lab.data import Data, from_arrays
from bigmodel_lab.training import TrainConfig, Trainer
from tests.training.fakes import CPU, FakeLog


class Exact(nn.Module):
    """Two layers in float64, so that the order of sums is all that may differ."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.blocks = nn.Sequential(nn.Linear(64, 16), nn.Tanh(), nn.Linear(16, 10))
        self.double()

    def forward(self, x: Tensor) -> Tensor:
        """Scores of ten classes, shape (samples, 10)."""
        scores: Tensor = self.blocks(torch.flatten(x, 1).double())
        return scores


class Images(nn.Module):
    """What remembers and draws: a convolution, a batch norm, dropout."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.features = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.2))
            self.head = nn.Linear(144, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Scores of ten classes, shape (samples, 10)."""
        scores: Tensor = self.head(torch.flatten(self.features(x), 1))
        return scores


def data() -> Data:
    """200 grey images of 8×8 in ten classes."""
    numbers = torch.Generator().manual_seed(1)
    return from_arrays((torch.rand(200, 1, 8, 8, generator=numbers), torch.arange(200) % 10))


def run(
    model: nn.Module,
    changes: Mapping[int, Callable[[TrainConfig], TrainConfig]] | None = None,
    **settings: object,
) -> tuple[Trainer, FakeLog]:
    """A whole run.

    Args:
        model: Trained from its first state.
        changes: New settings after the step with this number, from 0; None changes nothing.
        settings: Over those of a short run.
    """
    given = {"epochs": 3, "micro_batch_size": 32, "optimizer": "adam", "seed": 3, **settings}
    log = FakeLog()
    trainer = Trainer(model, data(), TrainConfig(**given), log, device=CPU)  # type: ignore[arg-type]

    def after(step: int) -> None:
        change = (changes or {}).get(step)
        if change is not None:
            log.mailbox.call_soon(lambda: trainer.change(change(trainer.config)))

    log.after_step = after
    trainer.run()
    return trainer, log


def weights(trainer: Trainer) -> list[Tensor]:
    """All parameters and buffers."""
    return [*trainer.model.parameters(), *trainer.model.buffers()]


def same_bits(one: Trainer, other: Trainer) -> bool:
    """Both have the same weights, to the last bit."""
    return all(torch.equal(a, b) for a, b in zip(weights(one), weights(other), strict=True))
