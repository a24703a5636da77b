"""Progress as one line of text, for scripts and for kernels without a page."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable
from typing import TextIO

from bigmodel_lab.i18n import text
from bigmodel_lab.runlog.base import Source
from bigmodel_lab.units import format_number, format_seconds, format_value
from bigmodel_lab.widgets._state import RunState, StateReader
from bigmodel_lab.widgets._strings import STATUS
from bigmodel_lab.widgets._tips import held_line

_WIDTH = 20
_SHOWN = (("loss", ""), ("accuracy", "fraction"), ("validation_loss", ""), ("validation_accuracy", "fraction"))


def line(state: RunState, values: dict[str, float]) -> str:
    """The run in one line: bar, step, epoch, latest values, time left, and what waits for a decision.

    Args:
        state: Where the run stands.
        values: Latest values by metric key; missing ones are left out.
    """
    parts = [_steps(state)]
    if state.epoch is not None:
        of = f"/{state.epochs}" if state.epochs is not None else ""
        parts.append(text("progress.epoch", "epoch {epoch}{of}", epoch=state.epoch, of=of))
    parts += [f"{key} {format_value(values[key], unit)}" for key, unit in _SHOWN if key in values]
    parts += [_times(state), held_line(state)]
    return " · ".join(part for part in parts if part)


def latest(source: Source) -> dict[str, float]:
    """Latest known value of each metric of the streams of steps and epochs."""
    found: dict[str, float] = {}
    for stream in source.streams():
        rows = source.count(stream.name) if stream.axis == "step" else 0
        block = source.read(stream.name, rows - 1, 1) if rows else None
        if block is not None and len(block):
            values = zip(stream.keys, block.values[-1].tolist(), strict=False)
            found = {key: value for key, value in values if not math.isnan(value)} | found
    return found


class ProgressLine:
    """Writes the line where it is seen: over itself, or a new one every tenth of the run in a file."""

    def __init__(
        self,
        source: Source,
        out: TextIO | None = None,
        *,
        overwrite: bool | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare; the first :meth:`tick` writes.

        Args:
            source: The run.
            out: Where to write; None is standard error, as standard output belongs to the program.
            overwrite: Each line replaces the one before; None: where ``out`` is a terminal.
            now: Clock in seconds.
        """
        self._source = source
        self._reader = StateReader(source)
        self._out = out or sys.stderr
        self._overwrite = self._out.isatty() if overwrite is None else overwrite
        self._now = now
        self._due = float("-inf")
        self._tenth = -1
        self._width = 0
        self._finished = False

    def tick(self) -> bool:
        """Write the line if it is time for it; False once the run has ended and only :meth:`finish` is left."""
        state = self._reader.read()
        if state.status.ended or self._finished:
            return False
        if self._overwrite and self._now() >= self._due:
            # At most once a second, and less often the longer the run, so that a saved log stays short.
            self._due = self._now() + max(1.0, state.elapsed / 60)
            self._write(state, end="")
        elif not self._overwrite and _tenth(state) > self._tenth:
            self._tenth = _tenth(state)
            self._write(state, end="\n")
        return True

    def finish(self) -> None:
        """Write the last line. Again: nothing."""
        if not self._finished:
            self._finished = True
            self._write(self._reader.read(), end="\n")

    def _write(self, state: RunState, *, end: str) -> None:
        shown = line(state, latest(self._source))
        start = "\r" if self._overwrite else ""
        self._out.write(start + shown.ljust(self._width) + end)  # blanks hide the rest of a longer line
        self._out.flush()
        self._width = len(shown) if self._overwrite else 0


def _tenth(state: RunState) -> int:
    return state.step * 10 // state.total_steps if state.total_steps else min(state.step, 1)


def _steps(state: RunState) -> str:
    step = format_number(state.step)
    if not state.total_steps:
        return text("progress.step", "step {step}", step=step)
    share = min(1.0, state.step / state.total_steps)
    bar = "█" * round(share * _WIDTH)
    total = format_number(state.total_steps)
    return text(
        "progress.step_of",
        "{percent:3.0f} % |{bar}| step {step}/{total}",
        percent=100 * share,
        bar=bar.ljust(_WIDTH),
        step=step,
        total=total,
    )


def _times(state: RunState) -> str:
    elapsed = format_seconds(state.elapsed)
    if state.status.ended:
        return text("progress.ended", "{status} after {elapsed}", status=STATUS[state.status], elapsed=elapsed)
    left = format_seconds(state.eta)
    running = text("progress.running", "{elapsed}, {left} left", elapsed=elapsed, left=left)
    return running if state.status.value == "running" else f"{STATUS[state.status]} · {running}"
