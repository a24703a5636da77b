"""How losses get from the device to the log, without the loop ever waiting for the device.

On a CPU a result is there when the operation returns, so it is read at once. On a GPU
reading would stop the loop until the GPU has caught up. There each step copies its two
numbers into a row of a block on the device; at most ten times a second the block is
copied to pinned host memory behind the work in the queue, with an event after it, and
its rows are delivered when a later look finds the event passed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from time import monotonic_ns
from typing import Any, Protocol

import torch
from torch import Tensor

from bigmodel_lab.training.recorder import Recorder

FETCH_NS = 100_000_000
"""Least time between two copies to the host, in nanoseconds."""
_ROWS = 512  # of a block: more steps than a GPU makes in a tenth of a second, and a block more when not


class Readings(Protocol):
    """Takes scalars on the device, delivers numbers to the recorder in the same order."""

    def start_clock(self) -> None:
        """The next step begins now: what came before (a pause, an evaluation) is not its time."""

    def step(self, step: int, samples: int, loss: Tensor, correct: Tensor) -> None:
        """A step has ended; its time is that since the last one, or since :meth:`start_clock`."""

    def epoch(self, step: int, validated: int, loss: Tensor, correct: Tensor) -> None:
        """An epoch has ended."""

    def drain(self) -> None:
        """Deliver everything, waiting for the device. Only while the run is not training."""


class DirectReadings:
    """For the CPU: every number is delivered at once."""

    def __init__(self, recorder: Recorder) -> None:
        self._deliver_step = recorder.step
        self._deliver_epoch = recorder.epoch
        self._last_ns = monotonic_ns()

    def start_clock(self) -> None:
        """The next step begins now."""
        self._last_ns = monotonic_ns()

    def step(self, step: int, samples: int, loss: Tensor, correct: Tensor) -> None:
        """A step has ended."""
        loss_value, correct_value = loss.item(), correct.item()
        now = monotonic_ns()
        elapsed = now - self._last_ns
        self._last_ns = now
        self._deliver_step(step, now, elapsed, samples, loss_value, correct_value)

    def epoch(self, step: int, validated: int, loss: Tensor, correct: Tensor) -> None:
        """An epoch has ended."""
        self._deliver_epoch(step, monotonic_ns(), validated, loss.item(), correct.item())

    def drain(self) -> None:
        """Nothing is ever held back."""


class QueuedReadings:
    """For a GPU: numbers stay on the device and are fetched behind its queue.

    Works on CPU tensors as well, where every copy is done at once; the tests use that.
    """

    def __init__(self, recorder: Recorder, device: str | torch.device, fetch_ns: int = FETCH_NS) -> None:
        self._deliver_step = recorder.step
        self._deliver_epoch = recorder.epoch
        self._queue = ScalarQueue(device, columns=2, fetch_ns=fetch_ns)
        self.start_clock()

    def start_clock(self) -> None:
        """The next step begins now."""
        self._last_ns = monotonic_ns()

    def step(self, step: int, samples: int, loss: Tensor, correct: Tensor) -> None:
        """A step has been queued."""
        now = monotonic_ns()
        elapsed = now - self._last_ns
        self._last_ns = now
        self._queue.put(self._deliver_step, (step, now, elapsed, samples), (loss, correct))

    def epoch(self, step: int, validated: int, loss: Tensor, correct: Tensor) -> None:
        """An epoch's evaluation has been queued."""
        self._queue.put(self._deliver_epoch, (step, monotonic_ns(), validated), (loss, correct))

    def drain(self) -> None:
        """Deliver everything; waits for the device."""
        self._queue.drain()


class ScalarQueue:
    """Scalars on their way from the device to the host, delivered in order, without waiting.

    >>> got = []
    >>> queue = ScalarQueue("cpu", columns=2, fetch_ns=0)
    >>> queue.put(lambda *row: got.append(row), (7,), (torch.tensor(0.5), torch.tensor(2)))
    >>> got
    [(7, 0.5, 2.0)]
    """

    def __init__(self, device: str | torch.device, columns: int, fetch_ns: int = FETCH_NS) -> None:
        """Args: ``columns`` is the most scalars of one row; ``fetch_ns`` the least time between two fetches."""
        self._device = torch.device(device)
        self._columns = columns
        self._fetch_ns = fetch_ns
        self._free = [_Block(self._device, columns), _Block(self._device, columns)]
        self._sent: deque[_Block] = deque()
        self._block = self._free.pop()
        self._fetched_ns = monotonic_ns()

    def put(self, deliver: Callable[..., None], facts: tuple[Any, ...], scalars: Sequence[Tensor]) -> None:
        """Queue a row; later ``deliver(*facts, *numbers)`` is called, on this thread, in order."""
        block = self._block
        for place, scalar in zip(block.places[len(block.rows)], scalars, strict=False):
            place.copy_(scalar, non_blocking=True)
        block.rows.append((deliver, facts, len(scalars)))
        now = monotonic_ns()
        if now - self._fetched_ns >= self._fetch_ns or len(block.rows) == _ROWS:
            self._fetched_ns = now
            self._send()
            self._deliver_arrived()

    def drain(self) -> None:
        """Deliver everything; waits for the device."""
        self._send()
        for block in self._sent:
            block.copied.synchronize()
        self._deliver_arrived()

    def _send(self) -> None:
        """Queue the copy of the present block to the host, and begin another block."""
        if not self._block.rows:
            return
        self._block.send()
        self._sent.append(self._block)
        self._block = self._free.pop() if self._free else _Block(self._device, self._columns)

    def _deliver_arrived(self) -> None:
        while self._sent and self._sent[0].copied.query():
            block = self._sent.popleft()
            rows, block.rows = block.rows, []
            self._free.append(block)
            for (deliver, facts, count), numbers in zip(rows, block.host.tolist(), strict=False):
                deliver(*facts, *numbers[:count])


class _Block:
    """Rows of numbers on the device, their copy on the host, and what each row means."""

    def __init__(self, device: torch.device, columns: int) -> None:
        self._numbers = torch.zeros(_ROWS, columns, device=device)
        # Indexing costs a microsecond a number: done once, here.
        self.places = [row.unbind() for row in self._numbers.unbind()]
        self.host = torch.zeros(_ROWS, columns, pin_memory=device.type == "cuda")
        self.copied = _event(device)
        self.rows: list[tuple[Callable[..., None], tuple[Any, ...], int]] = []

    def send(self) -> None:
        """Queue the copy to the host, with the event behind it."""
        count = len(self.rows)
        self.host[:count].copy_(self._numbers[:count], non_blocking=True)
        self.copied.record()


class _Passed:
    """The event of a device that has no queue: everything before it is done."""

    def record(self) -> None:
        """Nothing to mark."""

    def query(self) -> bool:
        """Always passed."""
        return True

    def synchronize(self) -> None:
        """Nothing to wait for."""


def _event(device: torch.device) -> Any:
    if device.type == "cuda":
        with torch.cuda.device(device):
            return torch.cuda.Event()  # type: ignore[no-untyped-call]
    return torch.mps.Event() if device.type == "mps" else _Passed()


def readings_for(device: str | torch.device, recorder: Recorder) -> Readings:
    """The way of reading that suits the device."""
    if torch.device(device).type == "cpu":
        return DirectReadings(recorder)
    return QueuedReadings(recorder, device)
