"""What a view shows beside the charts: status, step, epoch, time passed and time left."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from bigmodel_lab.runlog.base import Event, Source, Status

_STOPS = frozenset({"paused", "ended"})
_STARTS = frozenset({"resumed", "started", "reopened"})
_SETTLED = frozenset({"out_of_memory_settled", "reopened"})
_WINDOW_SECONDS = 30.0


@dataclass(frozen=True)
class RunState:
    """Where a run stands at one moment."""

    status: Status
    """Where the run stands."""
    step: int
    """Optimizer steps made so far."""
    total_steps: int | None
    """Steps that the run will make; None is unknown."""
    epoch: int | None
    """Running epoch, from 1; None where epochs are unknown."""
    epochs: int | None
    """Epochs that the run will make; None is unknown."""
    elapsed: float
    """Seconds since the run began, pauses not counted."""
    eta: float | None
    """Seconds still to go at the recent pace; None is unknown."""
    out_of_memory: Mapping[str, Any] | None = None
    """Facts of the step that ran out of memory, until it is known what becomes of it; None while all fits."""

    def message(self) -> dict[str, Any]:
        """The state as the browser takes it, values of JSON, times to a tenth of a second."""
        return {
            "status": self.status.value,
            "step": self.step,
            "epoch": self.epoch,
            "epochs": self.epochs,
            "elapsed": round(self.elapsed, 1),
            "eta": None if self.eta is None else round(self.eta, 1),
            "t": round(time.time(), 1),
        }


class StateReader:
    """Reads the state of a run again and again, each time looking only at what is new."""

    def __init__(self, source: Source, monotonic_ns: Callable[[], int] = time.monotonic_ns) -> None:
        self._source = source
        self._header = source.header()
        self._clock = _Clock(int(self._header["started_monotonic_ns"]))
        self._pace = _Pace()
        self._now = monotonic_ns
        self._next_event = 0
        self._out_of_memory: Mapping[str, Any] | None = None
        self._seen_rows = 0
        self._last_row = (-1, int(self._header["started_monotonic_ns"]))

    def read(self) -> RunState:
        """Where the run stands now."""
        source, status = self._source, self._source.status()
        for event in source.events(self._next_event):
            if event.kind == "reopened" and self._clock.running:  # the process was killed: nobody noted the end
                self._clock.stop(self._last_before(event.monotonic_ns))
            self._clock.note(event)
            self._note_memory(event)
            self._next_event = event.index + 1
        last_step, last_ns = self._newest()
        made = last_step + 1
        elapsed = self._clock.seconds(last_ns if status is Status.LOST else self._now())
        if self._header.get("total_steps") is None:  # becomes known once the data are loaded
            self._header = source.header()
        total = _whole(self._header.get("total_steps"))
        return RunState(
            status=status,
            step=made if total is None else min(made, total),
            total_steps=total,
            **_epochs(made, self._header),
            elapsed=elapsed,
            eta=None if status.ended else self._pace.eta(elapsed, made, total),
            out_of_memory=self._out_of_memory,
        )

    def _note_memory(self, event: Event) -> None:
        if event.kind == "out_of_memory":
            self._out_of_memory = event.data
        elif event.kind in _SETTLED:
            self._out_of_memory = None

    def _newest(self) -> tuple[int, int]:
        """Step and time of the newest step; (-1, start of the run) before the first."""
        source = self._source
        if not self._seen_rows and not self._has_steps():
            return self._last_row
        rows = source.count("step")
        if rows != self._seen_rows:
            block = source.read("step", rows - 1, 1)
            if len(block):
                self._seen_rows, self._last_row = rows, (int(block.step[-1]), int(block.monotonic_ns[-1]))
        return self._last_row

    def _last_before(self, ns: int) -> int:
        """Time of the last step before this time; the start of the run where there is none."""
        low, high = 0, self._source.count("step") if self._has_steps() else 0
        last = int(self._header["started_monotonic_ns"])
        while low < high:
            middle = (low + high) // 2
            at = self._source.read("step", middle, 1).monotonic_ns
            if len(at) and at[0] < ns:
                low, last = middle + 1, int(at[0])
            else:
                high = middle
        return last

    def _has_steps(self) -> bool:
        return any(stream.name == "step" for stream in self._source.streams())


class _Clock:
    """Time since the run began without its pauses, from the events of the run."""

    def __init__(self, started_ns: int) -> None:
        self._passed_ns = 0
        self._since: int | None = started_ns

    @property
    def running(self) -> bool:
        return self._since is not None

    def stop(self, ns: int) -> None:
        if self._since is not None:
            self._passed_ns += max(0, ns - self._since)
            self._since = None

    def note(self, event: Event) -> None:
        if event.kind in _STOPS:
            self.stop(event.monotonic_ns)
        elif event.kind in _STARTS and self._since is None:
            self._since = event.monotonic_ns

    def seconds(self, now_ns: int) -> float:
        running = 0 if self._since is None else now_ns - self._since
        return max(0.0, (self._passed_ns + running) / 1e9)


class _Pace:
    """Steps per second of the last half minute; of the whole run before that."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque([(0.0, 0)], maxlen=400)

    def eta(self, elapsed: float, made: int, total: int | None) -> float | None:
        while len(self._seen) > 1 and elapsed - self._seen[0][0] > _WINDOW_SECONDS:
            self._seen.popleft()
        since, steps = self._seen[0]
        self._seen.append((elapsed, made))
        if total is None or made <= steps or elapsed <= since:
            return None
        return max(0.0, (total - made) * (elapsed - since) / (made - steps))


def _epochs(made: int, header: Mapping[str, Any]) -> dict[str, int | None]:
    length, epochs = _whole(header.get("steps_per_epoch")), _whole(header.get("epochs"))
    if not length:
        return {"epoch": None, "epochs": epochs}
    running = made // length + 1
    return {"epoch": running if epochs is None else min(running, epochs), "epochs": epochs}


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) else None
