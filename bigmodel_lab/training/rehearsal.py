"""The coming steps, tried under several settings from one and the same state; nothing of it remains."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Protocol

from torch import Tensor

from bigmodel_lab.training.config import TrainConfig
from bigmodel_lab.training.device_memory import DeviceMemory, Peaks
from bigmodel_lab.training.out_of_memory import forget_failure, is_out_of_memory
from bigmodel_lab.training.recovery import OutOfMemoryFacts, describe
from bigmodel_lab.training.snapshot import Snapshot


@dataclass(frozen=True)
class Window:
    """Some steps under one setting."""

    config: TrainConfig
    """The settings."""
    step_seconds: tuple[float, ...]
    """Time of each step, its loss read back included."""
    losses: tuple[float, ...]
    """Loss of each step."""
    peaks: Peaks | None
    """Highest memory while they ran; None is unknown."""
    out_of_memory: OutOfMemoryFacts | None = None
    """Why fewer steps were made than wanted; None where all were."""


class Rehearsing(Protocol):
    """A run between two steps, as far as a rehearsal needs it."""

    @property
    def config(self) -> TrainConfig:
        """The present settings."""

    @property
    def steps_made(self) -> int:
        """Optimizer steps so far."""

    @property
    def memory(self) -> DeviceMemory:
        """Of its device."""

    def switch(self, config: TrainConfig) -> None:
        """Compute under other settings, without a record."""

    def snapshot(self) -> Snapshot:
        """Its state."""

    def upcoming(self, steps: int) -> Sequence[Tensor]:
        """Samples of the steps that come next."""

    def make_step(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """One optimizer step; its loss and correct samples."""


def rehearse(run: Rehearsing, settings: Sequence[TrainConfig], steps: int) -> tuple[Window, ...]:
    """Make the coming steps under each of these settings in turn, each time from the present state.

    Afterwards weights, optimizer, buffers, scaler and random numbers are as before, to the bit, and the run has its
    settings again. A setting under which the steps run out of memory gives a window that says so.

    Args:
        run: Between two steps.
        settings: Some may come more than once, so that they take turns.
        steps: Of each, from 1.
    """
    before, saved, batches = run.config, run.snapshot(), run.upcoming(steps)
    try:
        return tuple(_window(run, before, config, batches, saved) for config in settings)
    finally:
        run.switch(before)
        saved.restore()
        run.memory.empty_cache()
        run.memory.reset_peaks()


def _window(
    run: Rehearsing, before: TrainConfig, config: TrainConfig, batches: Sequence[Tensor], saved: Snapshot
) -> Window:
    run.switch(before)  # the state belongs to these settings: learning rate and kernels lie in the optimizer's part
    saved.restore()
    run.switch(config)
    run.memory.empty_cache()  # so that what is reserved belongs to these steps
    run.memory.reset_peaks()
    seconds: list[float] = []
    losses: list[float] = []
    full = None
    try:
        for indices in batches:
            began = perf_counter()
            loss, _ = run.make_step(indices)
            losses.append(loss.item())
            seconds.append(perf_counter() - began)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        full = describe(error, run.steps_made + len(losses), run.memory)
        forget_failure(error)
    return Window(config, tuple(seconds), tuple(losses), run.memory.peaks(), full)
