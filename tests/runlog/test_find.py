"""Finding runs and sending them commands."""

import subprocess
import sys
import time

import pytest

from bigmodel_lab.errors import RunFileError, UnknownNameError
from bigmodel_lab.runlog import RunLog, Status, find_run, find_runs, runs_folder, send_command

SEND = "import sys; from bigmodel_lab.runlog import send_command; send_command(sys.argv[1], 'pause', reason='lunch')"


def test_the_folder_is_the_argument_else_the_variable_else_the_users(tmp_path, monkeypatch):
    """The rule that kernel, server and terminal share."""
    assert runs_folder(tmp_path / "x") == tmp_path / "x"
    assert runs_folder() == tmp_path / "runs"
    monkeypatch.delenv("BIGMODEL_LAB_RUNS")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setattr(sys, "platform", "linux")
    assert runs_folder() == tmp_path / "data" / "bigmodel_lab" / "runs"


def test_runs_are_listed_newest_first():
    """With name, status and steps."""
    for name in ("first", "second"):
        log = RunLog.create(name, origin="simulated")
        log.stream("step", keys=("loss",)).append(1, 1, (1.0,))
        log.close(Status.STOPPED)
    runs = find_runs()
    assert [(run.name, run.origin, run.status, run.steps) for run in runs] == [
        ("second", "simulated", Status.STOPPED, 1),
        ("first", "simulated", Status.STOPPED, 1),
    ]


def test_a_broken_file_is_listed_with_its_problem(log):
    """One bad file hides no other run."""
    (log.path.parent / "bad.bmlrun").write_bytes(b"nothing")
    good, bad = find_runs()
    assert (good.run_id, good.problem) == (log.run_id, None)
    assert (bad.name, bad.status) == ("bad", None)
    assert "bad.bmlrun" in bad.problem


def test_a_folder_that_does_not_exist_has_no_runs(tmp_path):
    """And is not made."""
    assert find_runs(tmp_path / "none") == []
    assert not (tmp_path / "none").exists()


def test_a_command_from_another_process_arrives(log):
    """Within a moment it is in the mailbox, with its arguments, once."""
    subprocess.run([sys.executable, "-c", SEND, str(log.path)], check=True)
    assert log.mailbox.wait(20)
    (command,) = log.mailbox.take()
    assert (command.name, command.source, command.args) == ("pause", "terminal", {"reason": "lunch"})
    assert log.mailbox.wait(0.3) is False


def test_commands_are_looked_for_at_least_ten_times_a_second(log):
    """From the sending to the mailbox takes a tenth of a second or so; the median of five."""
    took = []
    for _ in range(5):
        start = time.monotonic()
        send_command(log.run_id, "resume")
        assert log.mailbox.wait(20)
        took.append(time.monotonic() - start)
        log.mailbox.take()
    assert sorted(took)[2] < 0.3


def test_a_run_is_found_by_its_id_or_its_path(log):
    """Also when it lies in another folder, as long as it lives."""
    assert find_run(log.run_id) == find_run(log.path) == find_run(str(log.path)) == log.path


def test_a_live_run_of_another_folder_is_found_by_its_id(tmp_path):
    """Through the registry."""
    log = RunLog.create("elsewhere", tmp_path / "elsewhere")
    assert find_run(log.run_id) == log.path
    log.close()
    with pytest.raises(UnknownNameError, match="elsewhere"):
        find_run(log.run_id)


def test_an_ended_run_takes_no_commands(log):
    """The error says that nothing would obey."""
    log.close(Status.FINISHED)
    with pytest.raises(RunFileError, match=r"finished.*'pause'"):
        send_command(log.path, "pause")


def test_an_old_command_does_not_reach_the_next_session(log):
    """A stop that nobody took must not stop the run when it goes on."""
    log._writer._take_commands = lambda: None
    send_command(log.path, "stop")
    log.close(Status.STOPPED)
    again = RunLog.reopen(log.path)
    assert again.mailbox.wait(0.4) is False
    again.close()
