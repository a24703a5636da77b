"""Ours and the bare loop around a step that does nothing: what is left is the loop's own work.

The model returns one fixed score, the loss is one fixed number, nothing is differentiated and
nothing is updated. Both loops read the loss and the hits of each step and keep them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

import bigmodel_lab as lab
from bigmodel_lab.data.base import Data, Split
from bigmodel_lab.runlog import RunLog, Status
from bigmodel_lab.training import TrainConfig, Trainer, choose_device
from bigmodel_lab.training.precision import Arithmetic
from bigmodel_lab.training.step import Task

_LOSS, _HITS = torch.tensor(0.5), torch.tensor(1)
_SAMPLES = torch.zeros(1, 1), torch.zeros(1, dtype=torch.int64)


class _Still:
    """An optimizer that updates nothing; torch's own class would wrap the step in work of its own."""

    def step(self) -> None:
        """Updates nothing."""

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Clears nothing."""


class _Same(nn.Module):
    """A model that returns what it is given, by the shortest way."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(1, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x) if not self.training else x


class _NoArithmetic(Arithmetic):
    def backward(self, loss: Tensor) -> None:
        """Differentiates nothing."""


class _SameBatch:
    """One batch, again and again."""

    def __init__(self, steps: int) -> None:
        self._steps = steps

    def __len__(self) -> int:
        return self._steps

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for _ in range(self._steps):
            yield _SAMPLES

    def take(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """The batch, whatever the index."""
        del index
        return _SAMPLES


class _EmptyTrainer(Trainer):
    """The trainer as it is, around a step that does nothing."""

    def __init__(self, log: RunLog, steps: int) -> None:
        nothing = Split(torch.zeros(0, 1), torch.zeros(0, dtype=torch.int64))
        train = Split(torch.zeros(steps, 1), torch.zeros(steps, dtype=torch.int64))
        data = Data("empty", "benchmark", train, nothing, nothing, scale=None, classes=2)
        config = TrainConfig(epochs=1, micro_batch_size=1)
        super().__init__(_Same(), data, config, log, device=choose_device("cpu"))
        self._arrangement.task = Task(self.model, lambda *_: _LOSS, lambda *_: _HITS, _NoArithmetic())
        self._train = _SameBatch(steps)  # type: ignore[assignment]
        self.optimizer = cast(torch.optim.Optimizer, _Still())


def bare(steps: int, folder: Path) -> float:
    """Microseconds of CPU a step of the bare loop."""
    del folder
    return _timed(steps, lambda: _loop(_SameBatch(steps), _Same(), cast(torch.optim.Optimizer, _Still()), _ignored))


def fit(steps: int, folder: Path) -> float:
    """Microseconds of CPU a step of the trainer's loop, with its log."""
    log = RunLog.create("empty", folder)
    trainer = _EmptyTrainer(log, steps)
    cost = _timed(steps, trainer.run)
    log.close(Status.FINISHED)
    return cost


def watch(steps: int, folder: Path) -> float:
    """Microseconds of CPU a step of the bare loop under ``watch``, loss and accuracy logged."""
    model, optimizer = _Same(), cast(torch.optim.Optimizer, _Still())
    with lab.watch(model, optimizer, runs_dir=folder) as w:
        return _timed(steps, lambda: _loop(w(_SameBatch(steps)), model, optimizer, _logging(w)))


def _ignored(_loss: float, _accuracy: float) -> None:
    """A bare loop logs nothing."""


def _logging(w: lab.Watch) -> Callable[[float, float], object]:
    return lambda loss, accuracy: w.log(loss=loss, accuracy=accuracy)


def _loop(
    batches: Iterator[tuple[Tensor, Tensor]] | _SameBatch,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    log: Callable[[float, float], object],
) -> None:
    losses, accuracies = [], []
    for x, y in batches:
        optimizer.zero_grad(set_to_none=True)
        model(x)
        optimizer.step()
        loss, accuracy = _LOSS.detach().item(), _HITS.item() / len(y)
        losses.append(loss)
        accuracies.append(accuracy)
        log(loss, accuracy)


def _timed(steps: int, work: Callable[[], object]) -> float:
    began = time.thread_time_ns()
    work()
    return (time.thread_time_ns() - began) / steps / 1000
