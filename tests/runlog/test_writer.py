"""What the thread that writes a run file writes, and when it looks for commands."""

import os
import time
from types import SimpleNamespace

import pytest

from bigmodel_lab.runlog import RunReader, Status, database
from bigmodel_lab.runlog.writer import Writer
from tests.runlog.test_log import fill, wait_until


def quiet(log, monkeypatch):
    """The writer of a log, everything of which is in the file; from now on it commits nothing by itself."""
    assert log.flush(20)
    monkeypatch.setattr(log._writer, "_try_commit", lambda: None)
    time.sleep(0.2)  # what it has begun is over
    return log._writer


def at(monotonic_ns):
    """The clock of the writer, standing still."""
    return SimpleNamespace(monotonic_ns=lambda: monotonic_ns, monotonic=time.monotonic, time_ns=time.time_ns)


@pytest.mark.parametrize(("passed_ns", "rows"), [(0, 0), (10**9 - 1, 0), (10**9, 2)])
def test_an_idle_run_writes_a_sign_of_life_once_a_second(log, monkeypatch, passed_ns, rows):
    """Nothing else of its state is written again; the sign of life is one time on each of two clocks."""
    writer = quiet(log, monkeypatch)
    beaten = writer._written.state["heartbeat_monotonic_ns"]
    monkeypatch.setattr("bigmodel_lab.runlog.writer.time", at(beaten + passed_ns))
    before = writer._db.total_changes
    writer._write_state(Status.RUNNING)

    assert writer._db.total_changes - before == rows


def test_a_new_status_is_written_at_once(log, monkeypatch):
    """It does not wait for the next sign of life."""
    writer = quiet(log, monkeypatch)
    monkeypatch.setattr("bigmodel_lab.runlog.writer.time", at(writer._written.state["heartbeat_monotonic_ns"]))
    before = writer._db.total_changes
    state = writer._write_state(Status.PAUSED)

    assert writer._db.total_changes - before == 1
    assert state["process"] == writer._written.state["process"]
    assert RunReader(log.path).status() is Status.PAUSED


def test_a_status_that_met_a_full_disk_is_written_later(log, steps):
    """What a failed commit took back counts as not written."""
    assert log.flush(20)
    log._writer._db.execute("PRAGMA max_page_count=1")
    fill(steps, 30_000)
    log.set_status(Status.PAUSED)
    assert not log.flush(0.5)
    assert RunReader(log.path).status() is Status.RUNNING
    log._writer._db.execute("PRAGMA max_page_count=1073741823")
    assert log.flush(20)
    assert RunReader(log.path).status() is Status.PAUSED


def test_the_number_of_a_stream_is_asked_for_once(log, steps):
    """Later commits know it, whatever a run has of them."""
    fill(steps, 5)
    assert log.flush(20)
    asked = []
    log._writer._db.set_trace_callback(asked.append)
    fill(steps, 5, start=5)
    assert log.flush(20)
    log._writer._db.set_trace_callback(None)

    assert any("INSERT INTO samples" in sql for sql in asked)
    assert not any("FROM streams" in sql for sql in asked)


def test_a_stream_that_comes_later_has_its_own_number(log, steps):
    """Rows of two streams stay apart, although the first number is kept in mind."""
    fill(steps, 3)
    assert log.flush(20)
    log.stream("epoch", axis="step", keys=("loss", "accuracy")).append(2, 5000, (7.0, 8.0))
    assert log.flush(20)
    reader = RunReader(log.path)

    assert reader.read("epoch").values.tolist() == [[7.0, 8.0]]
    assert reader.count("step") == 3


def looking(wal):
    """A writer that only looks at this file."""
    writer = Writer.__new__(Writer)
    writer._wal, writer._seen = wal, None
    return writer


def test_a_file_that_nobody_wrote_is_not_looked_into_again(tmp_path):
    """Once after each change, then not until the next."""
    wal = tmp_path / "x-wal"
    wal.write_bytes(b"1")
    writer = looking(wal)
    first = [writer._written_by_anyone(), writer._written_by_anyone()]
    wal.write_bytes(b"12")

    assert first == [True, False]
    assert [writer._written_by_anyone(), writer._written_by_anyone()] == [True, False]


def test_a_change_that_keeps_the_length_is_seen(tmp_path):
    """SQLite begins its log again from the front: only the time tells."""
    wal = tmp_path / "x-wal"
    wal.write_bytes(b"1")
    writer = looking(wal)
    writer._written_by_anyone()
    os.utime(wal, ns=(1, 1))

    assert writer._written_by_anyone()


def test_a_log_that_cannot_be_seen_is_looked_into_always(tmp_path):
    """A command late or lost would be worse than a look in vain."""
    writer = looking(tmp_path / "is not there")

    assert writer._written_by_anyone()
    assert writer._written_by_anyone()


def test_a_command_of_another_process_is_found_once_in_an_idle_run(log):
    """What another connection wrote makes the writer look, at the latest with its next sign of life; once only."""
    assert log.flush(20)
    with database.inserting(log.path) as db:
        db.execute("INSERT INTO commands (name, source, args, wall_ns) VALUES ('pause', 'cli', '{\"x\": 1}', 1)")
    wait_until(lambda: log.mailbox.holds("pause"))
    time.sleep(0.3)

    assert [(c.name, c.source, c.args) for c in log.mailbox.take()] == [("pause", "cli", {"x": 1})]
