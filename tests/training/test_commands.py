"""What the loop does with the commands that lie in its mailbox."""

from __future__ import annotations

import pytest

from bigmodel_lab.runlog import Status
from bigmodel_lab.training import Commands
from tests.training.fakes import FakeLog


def posted(log: FakeLog, *names: str) -> bool:
    """Whether the run stops after these commands."""
    for name in names:
        log.mailbox.post(name, "a test")
    return Commands(log, lambda: None).stop_wanted()


@pytest.mark.parametrize("names", [("stop",), ("stop", "resume"), ("pause", "stop"), ("stop", "pause")])
def test_nothing_undoes_a_stop(log: FakeLog, names: tuple[str, ...]):
    """Whatever comes with it, before or after; and the run does not hang in a pause."""
    assert posted(log, *names)
    assert Status.PAUSED not in log.statuses


@pytest.mark.parametrize("names", [(), ("resume",), ("pause", "resume")])
def test_a_run_goes_on(log: FakeLog, names: tuple[str, ...]):
    """A pause that is over before the loop looks was none."""
    assert not posted(log, *names)
    assert log.statuses == []


def test_everything_is_in_the_log_before_a_pause_is_told(log: FakeLog):
    """Who sees the pause sees every step that was made."""
    order: list[str] = []
    log.set_status = lambda status: (order.append(status.value), log.mailbox.post("stop", "a test"))
    log.mailbox.post("pause", "a test")

    assert Commands(log, lambda: order.append("settled")).stop_wanted()
    assert order == ["settled", "paused"]


def test_a_command_with_an_answer_is_answered_and_not_ignored(log: FakeLog):
    """It changes nothing in the course of the run."""
    answered: list[str] = []
    log.mailbox.answers["checkpoint"] = lambda _command: answered.append("kept")

    assert not posted(log, "checkpoint", "checkpoint")
    assert answered == ["kept", "kept"]
    assert log.events == []


def test_an_unknown_command_does_not_end_a_pause(log: FakeLog):
    """It is noted with its source, and the run waits on until somebody says go on."""
    log.mailbox.post("pause", "a test")
    log.set_status = lambda status: (
        log.statuses.append(status),
        status is Status.PAUSED and [log.mailbox.post(name, "cli") for name in ("dance", "resume")],
    )

    assert not Commands(log, lambda: None).stop_wanted()
    assert log.statuses == [Status.PAUSED, Status.RUNNING]
    assert log.events == [("ignored", {"name": "dance", "source": "cli"})]
