"""Updates of one dashboard, timed inside a kernel, at any length of the run."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from tempfile import TemporaryDirectory

from bigmodel_lab.runlog import Axis, RunLog, Status
from bigmodel_lab.widgets._frames import Frame
from bigmodel_lab.widgets._publisher import KEYFRAME_SECONDS, Publisher
from bigmodel_lab.widgets._spec import build_spec
from bigmodel_lab.widgets.dashboard import Dashboard

STREAMS: dict[str, tuple[Axis, tuple[str, ...]]] = {
    "step": ("step", ("loss", "accuracy", "step_seconds", "samples_per_second")),
    "epoch": ("step", ("validation_loss", "validation_accuracy", "loss", "accuracy")),
    "cuda_memory": ("time", ("allocated_bytes", "reserved_bytes")),
    "nvml": ("time", ("device_used_bytes", "gpu_utilization_percent", "power_watts", "temperature_celsius")),
    "host": ("time", ("rss_bytes", "cpu_percent")),
}
"""Sixteen series, as a run on a GPU has them."""
NEW_STEPS = 857
"""Steps between two updates: 0.3 s of steps of 0.35 ms."""
KINDS = ("steps", "everything", "keyframe", "bare send")
"""An update with new steps; with new steps and a row of every other stream; a view of the whole run;
and, for comparison, the last update once more through the widget's own ``send``, with no work of ours.

The samplers look twice a second, so four of ten updates of a run have only steps to tell.
"""
_STEP_NS = 350_000
_SAMPLE_EVERY = 1_428  # steps in half a second: the samplers' own pace
_PIECES = 5  # half seconds that are appended before the file has to have them


@dataclass(frozen=True)
class Update:
    """One update."""

    kind: str
    """One of :data:`KINDS`."""
    wall_us: float
    """Microseconds of the clock on the wall."""
    thread_us: float
    """Microseconds of CPU of the thread that sends."""


def measure(history: int, updates: int) -> list[Update]:
    """Updates of each kind in turn, of a run that already has a history, followed live from its beginning.

    Args:
        history: Steps before the first measured update.
        updates: How many of each kind.
    """
    with TemporaryDirectory() as folder:
        log = RunLog.create("updates", folder)
        run = _Followed(log)
        run.grow_to(history)
        measured = [run.update(kind) for _ in range(updates) for kind in KINDS]
        log.close(Status.FINISHED)
    return measured


class _Followed:
    """A run with its dashboard, whose clock is set by hand."""

    def __init__(self, log: RunLog) -> None:
        self._log = log
        self._streams = {name: log.stream(name, axis, keys) for name, (axis, keys) in STREAMS.items()}
        self._widget = Dashboard(build_spec(log, log.streams(), controls=True), lambda _: None)
        self._seconds = 0.0
        self._sent = Frame({}, b"")
        self._publisher = Publisher(log, self._send, now=lambda: self._seconds)
        self._step = 0
        self._began_ns = time.monotonic_ns()
        self._publisher.tick()

    def grow_to(self, steps: int) -> None:
        """Make this many steps, followed as they are made."""
        pieces = 0
        while self._step < steps:
            self._append_steps(min(_SAMPLE_EVERY, steps - self._step))
            self._append_samples()
            pieces += 1
            if pieces % _PIECES == 0:
                self._log.flush(60)
                self._publisher.tick()

    def update(self, kind: str) -> Update:
        """Add what this kind of update tells, and send it; a keyframe has nothing new but itself."""
        self._seconds += 0.1
        self._publisher._last_keyframe = self._seconds + KEYFRAME_SECONDS  # noqa: SLF001 (none unless asked for)
        if kind == "keyframe":
            self._publisher.hello()
        elif kind != "bare send":
            self._append_steps(NEW_STEPS)
        if kind == "everything":
            self._append_samples()
        time.sleep(0.002)  # the writer and the sending thread come first, as between two updates of a real run
        return _timed(kind, self._send_again if kind == "bare send" else self._publisher.tick)

    def _send(self, frame: Frame) -> None:
        if frame.content["type"] == "delta":
            self._sent = frame
        self._widget.send_frame(frame)

    def _send_again(self) -> None:
        self._widget.send(self._sent.content, [self._sent.buffer])

    def _append_steps(self, steps: int) -> None:
        append = self._streams["step"].append
        for step in range(self._step, self._step + steps):
            loss = 2 * math.exp(-step / 1e5) + 0.1 * math.sin(step)
            append(step, self._began_ns + step * _STEP_NS, (loss, 1 - loss / 3, 350e-6, 45_000.0))
        self._step += steps

    def _append_samples(self) -> None:
        now = self._began_ns + self._step * _STEP_NS
        for name in ("epoch", "cuda_memory", "nvml", "host"):
            self._streams[name].append(self._step, now, [math.sin(now + i) for i in range(len(STREAMS[name][1]))])


def _timed(kind: str, work: Callable[[], object]) -> Update:
    wall, thread = time.perf_counter_ns(), time.thread_time_ns()
    work()
    return Update(kind, (time.perf_counter_ns() - wall) / 1000, (time.thread_time_ns() - thread) / 1000)
