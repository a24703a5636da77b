"""Both ways of reading deliver the same rows in the same order; the queued one never waits."""

from __future__ import annotations

import math

import pytest
import torch

from bigmodel_lab.errors import NonFiniteLossError
from bigmodel_lab.training import readings
from bigmodel_lab.training.readings import DirectReadings, QueuedReadings, readings_for
from bigmodel_lab.training.recorder import Recorder
from tests.training.fakes import FakeLog

LONG = 10**15  # nanoseconds: never within a test


class SlowEvent:
    """The event of a device that is behind: passes when the test says so, or when waited for."""

    def __init__(self) -> None:
        self.passed = False
        self.waits = 0

    def record(self) -> None:
        """Mark a point in the queue."""
        self.passed = False

    def query(self) -> bool:
        """Has the device got there?"""
        return self.passed

    def synchronize(self) -> None:
        """Wait for the device."""
        self.passed = True
        self.waits += 1


@pytest.fixture
def slow_events(monkeypatch: pytest.MonkeyPatch) -> list[SlowEvent]:
    """Every event made from now on is slow."""
    made: list[SlowEvent] = []
    monkeypatch.setattr(readings, "_event", lambda _: made.append(SlowEvent()) or made[-1])
    return made


def put(reader, count: int, first: int = 0) -> None:
    """Steps with losses and hits that tell them apart."""
    for step in range(first, first + count):
        reader.step(step, 4, torch.tensor(step / 8), torch.tensor(step % 5))


@pytest.mark.parametrize("fetch_ns", [0, LONG])
def test_queued_rows_equal_direct_rows(fetch_ns):
    """Losses, accuracies and epoch means are the same, however often is fetched."""
    direct, queued = FakeLog(), FakeLog()
    for reader in (DirectReadings(Recorder(direct)), QueuedReadings(Recorder(queued), "cpu", fetch_ns)):
        for epoch in range(3):
            put(reader, 400, first=400 * epoch)
            reader.epoch(400 * epoch + 399, 10, torch.tensor(0.5), torch.tensor(7))
        reader.drain()

    for key in ("loss", "accuracy"):
        assert queued.streams["step"].column(key) == direct.streams["step"].column(key)
    assert [row[2] for row in queued.streams["epoch"].rows] == [row[2] for row in direct.streams["epoch"].rows]
    assert queued.streams["step"].steps == list(range(1200))


def test_nothing_is_fetched_before_its_time():
    """Between two fetches rows stay on the device; drain delivers them."""
    log = FakeLog()
    reader = QueuedReadings(Recorder(log), "cpu", LONG)
    put(reader, 20)

    assert log.streams["step"].rows == []
    reader.drain()
    assert log.streams["step"].steps == list(range(20))


def test_loop_does_not_wait_for_a_slow_device(slow_events):
    """Fetches in flight never block; more steps than the blocks hold find more blocks."""
    log = FakeLog()
    reader = QueuedReadings(Recorder(log), "cpu", LONG)
    put(reader, 3000)

    assert (len(log.streams["step"].rows), sum(event.waits for event in slow_events)) == (0, 0)
    reader.drain()
    assert log.streams["step"].steps == list(range(3000))


def test_rows_are_delivered_when_the_event_has_passed(slow_events):
    """A later fetch delivers what an earlier one sent, once the device got there."""
    log = FakeLog()
    reader = QueuedReadings(Recorder(log), "cpu", 0)
    put(reader, 1)
    assert log.streams["step"].rows == []

    for event in slow_events:
        event.passed = True
    put(reader, 1, first=1)

    assert log.streams["step"].steps == [0]


def test_blocks_are_used_again():
    """A device that keeps up needs no more blocks than two, however long the run."""
    reader = QueuedReadings(Recorder(FakeLog()), "cpu", 0)
    put(reader, 5000)

    assert len(reader._queue._free) == 1


def test_values_are_copied_not_referred_to():
    """A loss tensor that changes after the step does not change its row."""
    log = FakeLog()
    reader = QueuedReadings(Recorder(log), "cpu", LONG)
    loss = torch.tensor(1.0)
    reader.step(0, 4, loss, torch.tensor(2))
    loss.fill_(9.0)
    reader.drain()

    assert log.streams["step"].column("loss") == [1.0]


def test_non_finite_loss_is_found_when_fetched():
    """On a queue the NaN is met later, and names the step at which it arose."""
    log = FakeLog()
    reader = QueuedReadings(Recorder(log), "cpu", LONG)
    put(reader, 3)
    reader.step(3, 4, torch.tensor(math.nan), torch.tensor(0))
    put(reader, 2, first=4)

    with pytest.raises(NonFiniteLossError) as caught:
        reader.drain()

    assert caught.value.step == 3
    assert log.streams["step"].steps == [0, 1, 2, 3]


def test_clock_restarts(monkeypatch):
    """A step's time begins at the last step, or where the clock was started again."""
    now = iter([0, 10_000, 900_000, 910_000])
    monkeypatch.setattr(readings, "monotonic_ns", lambda: next(now))
    log = FakeLog()
    reader = DirectReadings(Recorder(log))
    put(reader, 1)
    reader.start_clock()
    put(reader, 1, first=1)

    assert log.streams["step"].column("step_seconds") == pytest.approx([1e-5, 1e-5])


def test_time_of_zero_gives_no_throughput(monkeypatch):
    """A clock too coarse for the step gives an unknown throughput, not an error."""
    monkeypatch.setattr(readings, "monotonic_ns", lambda: 5)
    log = FakeLog()
    put(DirectReadings(Recorder(log)), 1)

    assert math.isnan(log.streams["step"].column("samples_per_second")[0])


def test_cpu_is_read_directly():
    """The CPU has no queue to wait for; only it is read at once."""
    assert isinstance(readings_for("cpu", Recorder(FakeLog())), DirectReadings)
