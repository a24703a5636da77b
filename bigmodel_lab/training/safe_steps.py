"""Steps that may run out of memory, made so that nothing of a broken one remains."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor

from bigmodel_lab.training.config import TrainConfig
from bigmodel_lab.training.recovery import Guard
from bigmodel_lab.training.snapshot import Snapshot, StepSnapshot


class RolledBack(Exception):  # noqa: N818 - a signal to the loop, which nobody else sees
    """The run stands where its last snapshot was taken: the steps since then are to be made again."""


class Stepping(Protocol):
    """A run, as far as its steps are guarded."""

    optimizer: torch.optim.Optimizer

    @property
    def config(self) -> TrainConfig:
        """The present settings."""

    @property
    def steps_made(self) -> int:
        """Optimizer steps so far."""

    def change(self, config: TrainConfig) -> None:
        """Go on with other settings."""

    def make_step(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """One optimizer step; its loss and correct samples."""

    def before_step(self) -> StepSnapshot:
        """What a step changes before its optimizer runs."""

    def snapshot(self) -> Snapshot:
        """The whole state."""

    def position(self) -> dict[str, Any]:
        """Where the run stands, without tensors."""

    def go_to(self, position: dict[str, Any]) -> None:
        """Stand there again."""

    def start_over(self) -> None:
        """Forget gradients and the stage of a scaler."""


class SafeSteps:
    """Makes the steps of a run; asks the guard when one does not fit."""

    def __init__(self, run: Stepping, guard: Guard) -> None:
        self._run, self._guard = run, guard
        self._saved: tuple[Snapshot, dict[str, Any]] | None = None
        self._before: StepSnapshot | None = None
        self._rolled_back = False

    def begin(self) -> None:
        """Take the snapshot that an optimizer which runs out of memory from here on rolls back to."""
        self._saved = (self._run.snapshot(), self._run.position())

    def make(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """One optimizer step; its loss and correct samples.

        Raises:
            RolledBack: The run stands at its last snapshot.
            torch.OutOfMemoryError: The step cannot be made to fit.
        """
        self._before = self._run.before_step()
        made: tuple[Tensor, Tensor] = self._guard.attempt(
            self._run.steps_made, lambda: self._attempt(indices), self._put_back, self._run
        )
        return made

    def _attempt(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        if self._rolled_back:
            self._rolled_back = False
            raise RolledBack(self._run.steps_made)
        return self._run.make_step(indices)

    def _put_back(self, phase: str) -> None:
        """Only an optimizer changes weights: one that was broken off may have changed some of them."""
        assert self._before is not None
        self._run.start_over()
        searches = isinstance(self._run.optimizer, torch.optim.LBFGS)  # it moves the weights between forward passes
        if (phase == "optimizer" or searches) and self._saved is not None:
            snapshot, position = self._saved
            snapshot.restore()
            self._run.go_to(position)
            self._rolled_back = True
        else:
            self._before.restore()
