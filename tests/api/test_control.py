"""`bigmodel-lab ctl`: commands that reach a run of another process."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from bigmodel_lab.api._control import control
from bigmodel_lab.errors import ConfigError, RunFileError, UnknownNameError
from bigmodel_lab.runlog import RunLog, RunReader, Status, live_runs
from tests.api.programs import await_live, script


def until(condition: Callable[[], bool], what: str, seconds: float = 20) -> None:
    """Wait until ``condition()``."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.02)


def test_pause_resume_and_stop_reach_another_process():
    """A script in another process pauses, goes on from the same step, and is stopped; then it goes on itself."""
    with script() as process:
        run = RunReader(await_live().path)
        answer = control("pause")
        until(lambda: run.status() is Status.PAUSED, "paused")
        paused_at = run.count("step")
        time.sleep(0.5)
        assert run.count("step") == paused_at

        control("resume")
        until(lambda: run.count("step") > paused_at, "going on")
        control("stop")
        out, err = process.communicate(timeout=30)

    assert "pause" in answer
    assert "went on: stopped" in out
    assert process.returncode == 0, err


def test_commands_are_recorded_with_where_they_came_from():
    """The run file tells who stopped the run."""
    with script() as process:
        path = await_live().path
        control("stop")
        process.communicate(timeout=30)

    commands = [event.data for event in RunReader(path).events() if event.kind == "command"]
    assert [(c["name"], c["source"]) for c in commands] == [("stop", "terminal")]


@pytest.mark.parametrize("by", ["id", "beginning of the id", "file"])
def test_a_run_is_named_by_id_or_file(by: str):
    """With several runs live, the one that is named gets the command."""
    first, second = RunLog.create("first"), RunLog.create("second")
    until(lambda: len(live_runs()) == 2, "both are registered")
    run_id = str(second.header()["run_id"])
    name = {"id": run_id, "beginning of the id": shortest(run_id, str(first.header()["run_id"])), "file": second.path}

    control("stop", str(name[by]))
    until(lambda: second.mailbox.flag, "the command arrived")

    assert not first.mailbox.flag
    first.close(Status.STOPPED)
    second.close(Status.STOPPED)


def shortest(wanted: str, other: str) -> str:
    """The shortest beginning of one id that the other one does not share."""
    return next(wanted[:n] for n in range(1, len(wanted) + 1) if not other.startswith(wanted[:n]))


def test_without_a_live_run_it_says_so():
    """There is nothing to command."""
    with pytest.raises(ConfigError, match="No run is live"):
        control("pause")


def test_with_several_runs_it_asks_which():
    """The message names the runs to choose from."""
    logs = [RunLog.create("first"), RunLog.create("second")]
    until(lambda: len(live_runs()) == 2, "both are registered")

    with pytest.raises(ConfigError, match=r"(?s)first.*second|second.*first"):
        control("pause")
    for log in logs:
        log.close(Status.STOPPED)


def test_an_id_that_nobody_has_is_refused():
    """An unknown id is answered with those of the live runs."""
    log = RunLog.create("only")
    until(lambda: len(live_runs()) == 1, "it is registered")

    with pytest.raises(UnknownNameError, match=str(log.header()["run_id"])):
        control("pause", "no-such-run")
    log.close(Status.STOPPED)


def test_an_ended_run_is_not_commanded():
    """Nobody would obey: the message says where the run stands."""
    log = RunLog.create("over")
    log.close(Status.FINISHED)

    with pytest.raises(RunFileError, match="finished"):
        control("stop", str(log.path))


def test_a_run_whose_process_is_gone_does_not_count(tmp_path: Path):
    """A killed run stays registered for a day; the live one needs no name all the same."""
    log = RunLog.create("alive")
    until(lambda: len(live_runs()) == 1, "it is registered")
    (registered,) = Path(os.environ["JUPYTER_RUNTIME_DIR"]).rglob("*.json")
    facts = json.loads(registered.read_text("utf-8"))
    facts["run_id"] = "gone"
    facts["process"]["pid"] = 2**22 - 3
    facts["process"] = {**facts["process"], **{key: 1 for key in facts["process"] if "start" in key}}
    registered.with_name("gone.json").write_text(json.dumps(facts), "utf-8")
    assert Status.LOST in [run.status for run in live_runs()]

    control("stop")
    until(lambda: log.mailbox.flag, "the command arrived")
    log.close(Status.STOPPED)
