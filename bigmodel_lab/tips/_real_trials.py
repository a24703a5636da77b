"""One size tried for real: whole optimizer steps under a memory cap, their peaks, and nothing left behind."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Protocol, TypeAlias

import torch

from bigmodel_lab.errors import ConfigError
from bigmodel_lab.i18n import text
from bigmodel_lab.tips._finder import Measured
from bigmodel_lab.tips.base import courtesy_bytes
from bigmodel_lab.training.device_memory import DeviceMemory
from bigmodel_lab.training.out_of_memory import forget_failure, is_out_of_memory

Step: TypeAlias = Callable[[], object]
"""One whole optimizer step."""
_MOST_SKIPPED = 24
"""A scaler halves its scale at each step that it skips: from 2¹⁶, so many times at most."""
_NO_STATISTICS = "Expected more than 1 value per channel"
"""What PyTorch's batch norm says to a batch of one sample."""


class Loop(Protocol):
    """A training loop of which single steps can be made."""

    def step_of(self, size: int) -> Step:
        """A step on a batch of this many samples; it owns the batch."""

    def has_stepped(self) -> bool:
        """The optimizer has made a step since it started over, so that its state is born: a scaler may skip the first."""

    def let_go(self) -> None:
        """Gradients are gone, and what a broken step left half-made."""


class RealTrials:
    """Runs sizes for :func:`bigmodel_lab.tips._finder.find_largest`, each as a training begins: without a state."""

    def __init__(
        self,
        loop: Loop,
        memory: DeviceMemory,
        *,
        device: str,
        simulated: bool,
        start_over: Callable[[], None],
    ) -> None:
        """Nothing is run yet.

        Args:
            loop: Whose steps.
            memory: Of the device.
            device: As PyTorch writes it; waited for where it is CUDA.
            simulated: The card is simulated, so times say nothing.
            start_over: Model and optimizer are as before the first trial.
        """
        self._loop, self._memory, self._simulated = loop, memory, simulated
        self._cuda = torch.device(device) if torch.device(device).type == "cuda" else None
        self._start_over = start_over

    def __call__(self, size: int, steps: int) -> Measured | None:
        """Make these steps; None where memory does not suffice.

        Args:
            size: Samples of a batch.
            steps: Optimizer steps, at least two: the first, in which the optimizer's state is born, is not counted in
                the peaks, as it has less of it.

        Raises:
            ConfigError: The scaler skips every step, or one sample is no batch to the model.
        """
        self._start_over()
        self._clean()
        try:
            return self._measured(size, steps)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            forget_failure(error)
            return None
        except ValueError as error:
            if size == 1 and _NO_STATISTICS in str(error):
                raise ConfigError(_no_statistics()) from error
            raise
        finally:
            self._clean()

    def _measured(self, size: int, steps: int) -> Measured:
        retries = self._memory.alloc_retries()
        step = self._loop.step_of(size)
        for _ in range(_MOST_SKIPPED):
            step()
            if self._loop.has_stepped():
                break
        else:
            raise ConfigError(_never_stepped())
        readings = [self._read(step) for _ in range(max(1, steps - 1))]
        retries = self._memory.alloc_retries() - retries
        del step
        self._clean()
        held = self._memory.in_use()
        return Measured(
            tuple(peak for peak, _ in readings),
            0 if held is None else held.allocated_bytes,
            None if self._simulated else min(seconds for _, seconds in readings),
            retries,
        )

    def _read(self, step: Step) -> tuple[int, float]:
        """Peak and seconds of one step."""
        self._memory.reset_peaks()
        began = perf_counter()
        step()
        self._wait()
        return self._peak(), perf_counter() - began

    def _peak(self) -> int:
        peaks = self._memory.peaks()
        return 0 if peaks is None else peaks.reserved_bytes

    def _wait(self) -> None:
        if self._cuda is not None:
            torch.cuda.synchronize(self._cuda)

    def _clean(self) -> None:
        """Nothing of a trial lies on the device when the next begins."""
        self._loop.let_go()
        gc.collect()
        self._memory.clear_workspaces()  # so that memory is laid out as in a run that has just begun
        self._memory.empty_cache()
        self._memory.reset_peaks()


def capacity_of(memory: DeviceMemory, total_bytes: int, others_bytes: int, asked_bytes: int | None) -> int:
    """What the steps may take: beside other processes the larger of 5 % and 1 GiB of the card stays free.

    Args:
        memory: Of a device whose capacity is known.
        total_bytes: Of the card.
        others_bytes: What other processes hold on it.
        asked_bytes: What the person allows; None is all that there is.
    """
    usable = memory.capacity_bytes() or 0
    if others_bytes:
        usable -= courtesy_bytes(total_bytes)
    return max(0, usable if asked_bytes is None else min(usable, asked_bytes))


@contextmanager
def capped(memory: DeviceMemory, capacity_bytes: int, total_bytes: int, before: float | None = None) -> Iterator[None]:
    """PyTorch takes no more than this while the block runs, so that a mistake is a clean error and harms nobody.

    Args:
        memory: Of the device.
        capacity_bytes: The cap.
        total_bytes: Of the card.
        before: Share of the card that was allowed, and is again afterwards; None is all of it.
    """
    memory.set_fraction(min(1.0, capacity_bytes / total_bytes))
    try:
        yield
    finally:
        memory.empty_cache()
        memory.set_fraction(before)
        memory.reset_peaks()


def _no_statistics() -> str:
    return text(
        "error.batch_of_one",
        "Only a micro-batch of 1 is left to try, and the model's batch norm needs at least 2 samples. Allow more memory "
        "(capacity) or samples (at_most), or take a smaller model.",
    )


def _never_stepped() -> str:
    return text(
        "error.never_stepped",
        "The gradient scaler skipped {count} steps in turn, as the gradients are infinite or NaN at every scale. Mend the "
        "loss first: the memory of a step that is skipped says nothing.",
        count=_MOST_SKIPPED,
    )
