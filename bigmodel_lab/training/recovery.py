"""When a step does not fit into the card's memory: what is known of it, what is put back, and who decides."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

from bigmodel_lab.i18n import text
from bigmodel_lab.runlog import RunLog
from bigmodel_lab.training.config import TrainConfig
from bigmodel_lab.training.device_memory import DeviceMemory
from bigmodel_lab.training.out_of_memory import forget_failure, is_out_of_memory
from bigmodel_lab.units import parse_bytes

_ASKED = re.compile(r"Tried to allocate ([\d.]+ [KMG]iB|\d+ bytes)")
"""In the message of ``c10/cuda/CUDACachingAllocator.cpp``."""
_AGAIN = object()
_ARITHMETIC = "precision.py"
"""The file whose functions ``backward`` and ``update`` are the two later phases of a step."""


@dataclass(frozen=True)
class OutOfMemoryFacts:
    """A request that did not fit."""

    phase: str
    """``"forward"``, ``"backward"``, ``"optimizer"``, ``"evaluation"`` or ``"load"``."""
    step: int
    """Number of the step, from 0."""
    requested_bytes: int | None
    """What was asked for; None is unknown."""
    allocated_bytes: int | None
    """Of live tensors at that moment."""
    reserved_bytes: int | None
    """Held by the caching allocator at that moment."""
    capacity_bytes: int | None
    """What this process could have had in all."""
    by_category: Mapping[str, int] = field(default_factory=dict)
    """Bytes by what they were for; empty is unknown."""
    message: str = ""
    """What PyTorch said."""


class Changeable(Protocol):
    """A run whose settings can be changed between two steps."""

    @property
    def config(self) -> TrainConfig:
        """The present settings."""

    def change(self, config: TrainConfig) -> None:
        """Go on with other settings."""


class Recovery(Protocol):
    """Decides what becomes of a run that has run out of memory. Called by the loop, with everything put back."""

    def changed(self, run: Changeable, full: OutOfMemoryFacts) -> bool:
        """Change the run so that it may fit now.

        Returns:
            True to make the same step again; False to end the run with the original error.
        """

    @property
    def action(self) -> str:
        """``"ask"``, ``"shrink"`` or ``"raise"``, for the record."""


class Raise:
    """Ends the run."""

    action = "raise"

    def changed(self, run: Changeable, full: OutOfMemoryFacts) -> bool:
        """Never."""
        del run, full
        return False


class Shrink:
    """Half the micro-batch and twice the accumulation, until the step fits.

    An optimizer that runs out of memory is not helped by a smaller batch: it works tensor by tensor from
    then on, and that is all that is tried.

    >>> class Run:
    ...     config = TrainConfig(micro_batch_size=8)
    ...     def change(self, config):
    ...         self.config = config
    >>> run = Run()
    >>> Shrink().changed(run, OutOfMemoryFacts("backward", 0, None, None, None, None))
    True
    >>> run.config.micro_batch_size, run.config.gradient_accumulation_steps
    (4, 2)
    """

    action = "shrink"

    def changed(self, run: Changeable, full: OutOfMemoryFacts) -> bool:
        """Smaller by half where that can help."""
        config = run.config
        if full.phase == "optimizer":
            options = dict(config.optimizer_options)
            if options.get("foreach") is False:
                return False
            options.pop("fused", None)
            run.change(replace(config, optimizer_options={**options, "foreach": False}))
            return True
        if config.micro_batch_size == 1:
            return False
        run.change(config.with_micro_batch(-(-config.micro_batch_size // 2)))
        return True


def describe(error: BaseException, step: int, memory: DeviceMemory) -> OutOfMemoryFacts:
    """What is known of an out-of-memory error while its tensors are still alive.

    Args:
        error: As it was caught.
        step: That was being made, from 0.
        memory: Of the device.
    """
    now = memory.in_use()
    asked = _ASKED.search(str(error))
    return OutOfMemoryFacts(
        phase=_phase(error.__traceback__),
        step=step,
        requested_bytes=None if asked is None else _bytes(asked[1]),
        allocated_bytes=None if now is None else now.allocated_bytes,
        reserved_bytes=None if now is None else now.reserved_bytes,
        capacity_bytes=memory.capacity_bytes(),
        by_category=dict(memory.by_category()),
        message=str(error),
    )


class Guard:
    """Makes steps of which one may run out of memory: puts back what a broken step has changed, asks, makes it again."""

    def __init__(self, log: RunLog, memory: DeviceMemory, recovery: Recovery) -> None:
        """Args: ``recovery`` decides whether a step is made again."""
        self._log, self._memory, self._recovery = log, memory, recovery

    def attempt(self, step: int, make: Callable[[], Any], put_back: Callable[[str], None], run: Changeable) -> Any:
        """The result of ``make()``, made again as often as the recovery changes something.

        Args:
            step: Number of the step, from 0.
            make: Makes the step.
            put_back: Gets the phase; makes everything as it was before.
            run: Whose settings may be changed.

        Raises:
            torch.OutOfMemoryError: Nobody could make the step fit: the original error.
        """
        made: Any = _AGAIN
        while made is _AGAIN:
            made = self._once(step, make, put_back, run)
        return made

    def _once(self, step: int, make: Callable[[], Any], put_back: Callable[[str], None], run: Changeable) -> Any:
        """What ``make()`` gives; :data:`_AGAIN` where it ran out of memory and something was changed since."""
        try:
            return make()
        except (RuntimeError, MemoryError) as caught:
            if not is_out_of_memory(caught):
                raise
            error, full = caught, describe(caught, step, self._memory)
            forget_failure(caught)
        put_back(full.phase)  # not while the error is handled, which would keep its tensors alive
        self._memory.empty_cache()
        if not self._go_on(run, full):
            _advise(error, full)
            raise error
        return _AGAIN

    def _go_on(self, run: Changeable, full: OutOfMemoryFacts) -> bool:
        recovery = self._recovery
        self._log.event("out_of_memory", action=recovery.action, waits=recovery.action == "ask", **asdict(full))
        goes_on = recovery.changed(run, full)
        if goes_on:
            self._log.event("out_of_memory_settled", micro_batch_size=run.config.micro_batch_size)
        return goes_on


def _advise(error: BaseException, full: OutOfMemoryFacts) -> None:
    """One line below PyTorch's own message, where this Python shows such notes (3.11)."""
    if hasattr(error, "add_note"):
        error.add_note(
            text(
                "out_of_memory.note",
                'bigmodel_lab: step {step}, {phase} phase. lab.fit(…, on_oom="shrink") goes on with smaller micro-batches '
                "and the same effective batch; lab.advise(run) lists what else would help.",
                step=full.step + 1,
                phase=full.phase,
            )
        )


def _phase(trace: TracebackType | None) -> str:
    """Where in the step the error arose, by the functions that it passed through."""
    phase = "forward"
    while trace is not None:
        code = trace.tb_frame.f_code
        if Path(code.co_filename).name == _ARITHMETIC:
            phase = {"backward": "backward", "update": "optimizer"}.get(code.co_name, phase)
        trace = trace.tb_next
    return phase


def _bytes(size: str) -> int:
    return int(size.split(maxsplit=1)[0]) if size.endswith("bytes") else parse_bytes(size)
