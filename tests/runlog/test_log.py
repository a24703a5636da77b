"""The run log: what is appended, noted and read back, and what happens when the disk fails."""

import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from bigmodel_lab.errors import RunFileError, RunFolderError, UnknownNameError
from bigmodel_lab.runlog import RunLog, RunReader, Status
from bigmodel_lab.runlog.ring import ROWS


def fill(stream, rows, start=0):
    """Append rows whose loss is their index."""
    for i in range(start, start + rows):
        stream.append(i, 1000 + i, (float(i), -float(i)))


def wait_until(condition, seconds=20.0):
    """Wait for something that another thread does."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)


def test_the_file_holds_what_was_appended(log, steps):
    """After a flush another reader sees every row."""
    fill(steps, 100)
    assert log.flush(20)
    block = RunReader(log.path).read("step")
    assert block.step.tolist() == list(range(100))
    assert np.array_equal(block.values[:, 1], -np.arange(100.0))


def test_rows_reach_the_file_without_being_asked(log, steps):
    """The writer thread commits by itself."""
    fill(steps, 10)
    wait_until(lambda: RunReader(log.path).streams() and RunReader(log.path).count("step") == 10)


def test_header_has_the_promised_facts_and_takes_later_ones(log):
    """Id, name, origin and start are there at once; others follow."""
    log.update_header(parameters=1_250, rate=np.float32(0.5))
    log.flush(20)
    header = RunReader(log.path).header()
    assert header == log.header()
    assert (header["name"], header["origin"], header["run_id"]) == ("a test", "measured", log.run_id)
    assert (header["parameters"], header["rate"]) == (1250, 0.5)
    assert header["started_wall_ns"] > 0
    assert header["started_monotonic_ns"] > 0


def test_asking_again_gives_the_same_stream(log, steps):
    """A stream is made once; a new key is added to it."""
    assert log.stream("step", axis="step", keys=("loss", "my_score")) is steps
    assert steps.keys == ("loss", "accuracy", "my_score")


def test_an_unknown_stream_is_named(log, steps):
    """The error lists the streams that exist."""
    with pytest.raises(UnknownNameError, match="step"):
        log.read("stepp")


def test_step_is_the_last_one_appended(log, steps):
    """-1 before the first."""
    assert log.step == -1
    fill(steps, 3, start=40)
    assert log.step == 42


def test_old_rows_come_from_the_file_and_new_ones_from_memory(log, steps):
    """One read from row 0 gives all rows, although the ring no longer has the first."""
    fill(steps, 20_000)
    assert log.flush(20)
    fill(steps, 20_000, start=20_000)
    assert steps.first > 0
    block = log.read("step", 0)
    assert block.step.tolist() == list(range(40_000))
    assert log.read("step", 10, 5).step.tolist() == [10, 11, 12, 13, 14]


def test_reduced_joins_file_and_memory(log, steps):
    """Smallest and largest value are those of all rows, and the buckets cover both parts."""
    fill(steps, 20_000)
    assert log.flush(20)
    fill(steps, 20_000, start=20_000)
    reduced = log.reduced("step", 50)
    assert len(reduced.low) <= 50
    assert (reduced.low[:, 0].min(), reduced.high[:, 0].max()) == (0, 39_999)
    assert reduced.step.tolist() == list(range(0, 40_000, reduced.rows_per_bucket))


def test_a_ring_that_overflows_is_recorded_as_a_gap(log, steps, monkeypatch):
    """When the disk is slower than the ring is long, an event tells which rows are missing."""
    fill(steps, 10)
    assert log.flush(20)
    writer, commit = log._writer, log._writer._commit
    monkeypatch.setattr(writer, "_commit", lambda: None)  # a disk that hangs
    time.sleep(0)
    fill(steps, ROWS + 500, start=10)
    monkeypatch.setattr(writer, "_commit", commit)
    assert log.flush(20)
    assert log.flush(20)
    (gap,) = [event for event in RunReader(log.path).events() if event.kind == "gap"]
    assert gap.data["stream"] == "step"
    assert gap.data["first"] == 10
    reader = RunReader(log.path)
    assert reader.read("step", 0).next == 10
    after = reader.read("step", 10)
    assert after.first == 10 + gap.data["rows"]
    assert after.next == ROWS + 510
    assert after.values[:, 0].tolist() == list(range(after.first, after.next))


def test_events_carry_step_and_plain_data(log, steps):
    """What JSON lacks is kept as text, and a later change of the data does not reach the record."""
    fill(steps, 6)
    details = {"rate": np.float64(0.5), "device": ValueError("gone")}
    log.event("tip", **details)
    log.flush(20)
    for source in (log, RunReader(log.path)):
        event = source.events()[-1]
        assert (event.index, event.kind, event.step) == (1, "tip", 5)
        assert event.data == {"rate": 0.5, "device": "gone"}


def test_events_from_many_threads_are_all_there_in_order(log):
    """Indexes have no holes, in memory and in the file."""
    threads = [threading.Thread(target=lambda: [log.event("x") for _ in range(200)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    log.flush(20)
    assert [e.index for e in log.events()] == list(range(801))
    assert [e.index for e in RunReader(log.path).events(790)] == list(range(790, 801))


def test_events_that_left_memory_come_from_the_file(log):
    """A view that begins at event 0 sees all of a long run."""
    for _ in range(50):
        for _ in range(100):
            log.event("x")
        log.flush(20)
    assert [e.index for e in log.events()] == list(range(5001))


def test_a_reason_is_recorded_only_when_it_changes(log):
    """Saying the same twice makes one event; a value that is back makes another."""
    for reason in ("no driver", "no driver", None, None):
        log.set_unknown("power_watts", reason)
    log.set_unknown("energy_joules", "MIG")
    log.flush(20)
    assert [e.kind for e in log.events(1)] == ["unknown", "known", "unknown"]
    assert log.unknown() == RunReader(log.path).unknown() == {"energy_joules": "MIG"}


def test_status_is_seen_by_readers_with_its_events(log):
    """Pausing and resuming are recorded once each."""
    for status in (Status.PAUSED, Status.PAUSED, Status.RUNNING):
        log.set_status(status)
        log.flush(20)
        assert RunReader(log.path).status() is status
    assert [e.kind for e in log.events()] == ["started", "paused", "resumed"]


def test_a_command_that_the_loop_takes_is_an_event(log):
    """The record tells who asked for what."""
    log.mailbox.post("pause", "widget")
    log.mailbox.take()
    assert log.events()[-1].data == {"name": "pause", "source": "widget", "args": {}}


def test_a_finished_run_is_one_file_without_a_log(log, steps):
    """No -wal and no -shm stay, the status is kept, and closing twice does no harm."""
    fill(steps, 10)
    log.close(Status.FINISHED)
    log.close(Status.FAILED)
    assert [p.name for p in log.path.parent.iterdir()] == [log.path.name]
    assert RunReader(log.path).status() is Status.FINISHED
    assert log.read("step").next == 10


def test_a_run_that_goes_on_continues_its_indexes(log, steps):
    """Rows, events and the last step continue; nothing of the first part is lost."""
    fill(steps, 10)
    log.set_unknown("power_watts", "no driver")
    log.close(Status.STOPPED)
    again = RunLog.reopen(log.path)
    stream = again.stream("step", axis="step", keys=("loss", "accuracy", "my_score"))
    assert (again.run_id, again.step, stream.count) == (log.run_id, 9, 10)
    stream.append(10, 2000, (10.0, 0.0, 7.0))
    assert again.read("step").step.tolist() == list(range(11))
    again.close(Status.FINISHED)
    reader = RunReader(log.path)
    assert reader.read("step").step.tolist() == list(range(11))
    assert reader.read("step").values[-1, 2] == 7.0
    events = reader.events()
    assert [e.index for e in events] == list(range(len(events)))
    assert [e.kind for e in events] == ["started", "unknown", "ended", "reopened", "ended"]
    assert reader.unknown() == {"power_watts": "no driver"}


def test_times_go_on_after_a_reboot(log, steps, monkeypatch):
    """A clock that began anew is moved, so that the second part lies after the first."""
    steps.append(0, time.monotonic_ns(), (1.0, 1.0))
    log.close(Status.STOPPED)
    monkeypatch.setattr("bigmodel_lab.runlog.log.boot_id", lambda: "another boot")
    earlier = time.monotonic_ns
    monkeypatch.setattr(time, "monotonic_ns", lambda: earlier() - 10**15)
    again = RunLog.reopen(log.path)
    again.stream("step").append(1, time.monotonic_ns(), (1.0, 1.0))
    block = again.read("step")
    again.close(Status.FINISHED)
    assert 0 < block.monotonic_ns[1] - block.monotonic_ns[0] < 60 * 10**9


def test_a_live_run_cannot_be_opened_twice(log):
    """The message names the process that writes it."""
    with pytest.raises(RunFileError, match=str(os.getpid())):
        RunLog.reopen(log.path)


def test_a_full_disk_stops_neither_training_nor_reading(log, steps):
    """Trouble is told, appending goes on, and when there is room again every row is written."""
    fill(steps, 10)
    assert log.flush(20)
    log._writer._db.execute("PRAGMA max_page_count=1")  # SQLite's own "disk is full"
    fill(steps, 30_000, start=10)
    assert not log.flush(1)
    assert "full" in log.trouble
    assert log.read("step").next == 30_010
    log._writer._db.execute("PRAGMA max_page_count=1073741823")
    assert log.flush(20)
    assert log.trouble is None
    log.flush(20)
    assert "recovered" in [e.kind for e in log.events()]
    assert RunReader(log.path).read("step").next == 30_010


def test_trouble_outlives_closing(log, steps):
    """A run that ends while the disk is full does not raise, and still tells."""
    log.flush(20)
    log._writer._db.execute("PRAGMA max_page_count=1")
    fill(steps, 30_000)
    log.close(Status.FINISHED)
    assert "full" in log.trouble


def test_a_file_that_vanishes_is_told(log, steps):
    """Training goes on; trouble names the file, also after closing."""
    fill(steps, 10)
    log.flush(20)
    log.path.unlink()
    wait_until(lambda: log.trouble)
    fill(steps, 10, start=10)
    assert log.read("step").next == 20
    log.close(Status.FINISHED)
    assert str(log.path) in log.trouble
    assert "removed" in log.trouble


def test_a_folder_that_cannot_be_written_tells_what_to_do(tmp_path):
    """The typed error names the folder and the way out."""
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(RunFolderError, match="BIGMODEL_LAB_RUNS") as caught:
        RunLog.create("x", folder=tmp_path / "file" / "runs")
    assert str(tmp_path / "file" / "runs") in str(caught.value)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_leaves_the_file_alone(log, steps):
    """The child can append, note and close without reaching the file; the parent goes on."""
    fill(steps, 5)
    log.flush(20)
    child = os.fork()
    if child == 0:
        fill(steps, 1000, start=5)
        log.event("from the child")
        flushed = log.flush(0.1)
        log.close(Status.FAILED)
        os._exit(1 if flushed else 0)
    assert os.waitpid(child, 0)[1] == 0
    fill(steps, 5, start=5)
    assert log.flush(20)
    reader = RunReader(log.path)
    assert (reader.count("step"), reader.status()) == (10, Status.RUNNING)
    assert [e.kind for e in reader.events()] == ["started"]


def test_a_process_that_ends_without_closing_leaves_a_stopped_run(tmp_path):
    """The interpreter's end closes the run, so that it is whole and can be resumed."""
    code = (
        "from bigmodel_lab.runlog import RunLog\n"
        "log = RunLog.create('x')\n"
        "log.stream('step', keys=('loss',)).append(1, 1, (0.5,))\n"
        "print(log.path)\n"
    )
    path = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    reader = RunReader(path)
    assert (reader.status(), reader.count("step")) == (Status.STOPPED, 1)


def test_a_closed_log_answers_a_flush_at_once(log):
    """There is nobody left to wait for."""
    log.close(Status.FINISHED)
    assert log.flush(60) is False


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_writer_that_dies_is_told(log, monkeypatch):
    """An error that nobody expected in the writer thread does not stay hidden."""
    monkeypatch.setattr(log._writer, "_take_commands", lambda: 1 / 0)
    wait_until(lambda: not log._writer.is_alive())
    assert "ended by an error" in log.trouble
    assert log.flush(60) is False
