"""Interrupt: what Ctrl+C and the notebook's ■ button do to a run."""

from __future__ import annotations

import signal

import pytest

from bigmodel_lab.api._interrupt import interrupts_to
from bigmodel_lab.runlog import RunLog, RunReader, Status
from tests.api.programs import LONG, await_live, script

AWAITED = """
import asyncio
import bigmodel_lab as lab
run = asyncio.run(lab.fit_async("mlp", epochs=100_000))
print("went on:", run.status.value)
"""


@pytest.fixture
def log():
    """A run that is live, without a loop."""
    log = RunLog.create("interrupted")
    yield log
    log.close(Status.STOPPED)


def press(log: RunLog, times: int, *, may_pause: bool) -> list[str]:
    """What the person is told when Interrupt is pressed so often."""
    told: list[str] = []
    with interrupts_to(log, may_pause=may_pause, tell=told.append):
        for _ in range(times):
            signal.raise_signal(signal.SIGINT)
    return told


@pytest.mark.parametrize("code", [LONG, AWAITED], ids=["blocking", "awaited"])
def test_ctrl_c_stops_a_script_cleanly(code: str):
    """The run ends as stopped, without a traceback, and the script goes on."""
    with script(code) as process:
        path = await_live().path
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)

    assert "went on: stopped" in out
    assert "Stopping after this step" in out
    assert "Traceback" not in err
    assert RunReader(path).status() is Status.STOPPED


def test_without_a_proved_way_to_resume_the_first_press_stops(log: RunLog):
    """Where nothing could resume a paused loop, it is not paused."""
    assert press(log, 1, may_pause=True) == ["stop"]


def test_with_a_proved_way_the_first_press_pauses_and_the_second_stops(log: RunLog):
    """The buttons were heard during this run."""
    log.mailbox.prove_inbound("widget")

    assert press(log, 2, may_pause=True) == ["pause", "stop"]


def test_in_a_script_the_first_press_stops(log: RunLog):
    """A script has no cell in which to resume."""
    log.mailbox.prove_inbound("terminal")

    assert press(log, 1, may_pause=False) == ["stop"]


def test_a_press_while_paused_stops(log: RunLog):
    """However the pause came about, Interrupt leads out of it."""
    log.mailbox.prove_inbound("widget")
    log.set_status(Status.PAUSED)

    assert press(log, 1, may_pause=True) == ["stop"]


def test_one_more_press_than_stop_is_a_keyboard_interrupt(log: RunLog):
    """A loop that does not answer can still be broken off."""
    with pytest.raises(KeyboardInterrupt):
        press(log, 2, may_pause=False)


def test_afterwards_interrupt_is_what_it_was(log: RunLog):
    """The handler of the program, Python's own or another, comes back."""
    before = signal.getsignal(signal.SIGINT)
    press(log, 1, may_pause=False)

    assert signal.getsignal(signal.SIGINT) is before
