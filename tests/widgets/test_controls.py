"""Buttons and whether they get through."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest
from fakes import FakeMailbox, FakeRun

from bigmodel_lab.runlog.base import Status
from bigmodel_lab.widgets._controls import Controls
from bigmodel_lab.widgets._state import StateReader


def elsewhere(job):
    """Run a job on another thread, as a subshell does."""
    thread = threading.Thread(target=job)
    thread.start()
    thread.join()


def test_a_message_past_the_loop_proves_the_way():
    """Handled on another thread than the loop's, a message shows that buttons work now."""
    mailbox = FakeMailbox()
    controls = Controls(mailbox)
    elsewhere(controls.note_message)
    controls.learn_loop()

    assert controls.live
    assert mailbox.inbound == "widget"


def test_a_message_on_the_loops_thread_proves_nothing():
    """Handled by the thread that trains, it came when no step was running."""
    mailbox = FakeMailbox()
    controls = Controls(mailbox)
    controls.learn_loop()
    controls.note_message()

    assert mailbox.inbound is None


def test_a_late_button_does_not_hit_the_next_run():
    """A click that waited until the cell ended is refused."""
    mailbox = FakeMailbox()

    assert not Controls(mailbox).post("pause", Status.FINISHED)
    assert mailbox.posted == []


def test_only_known_commands_pass():
    """What a browser sends is not trusted."""
    mailbox = FakeMailbox()
    controls = Controls(mailbox)

    assert [controls.post(name, Status.RUNNING) for name in ("pause", "rm", None)] == [True, False, False]
    assert mailbox.posted == [("pause", "widget")]


def test_a_command_about_a_tip_carries_its_number():
    """Which proposal is meant goes into the mailbox."""
    mailbox = FakeMailbox()
    controls = Controls(mailbox)

    assert [controls.post(name, Status.PAUSED, 7) for name in ("apply", "undo")] == [True, True]
    assert list(zip(mailbox.posted, mailbox.numbers, strict=True)) == [
        (("apply", "widget"), 7),
        (("undo", "widget"), 7),
    ]


@pytest.mark.parametrize("number", [None, "7", 7.5, True, [7]])
def test_a_command_about_no_tip_is_refused(number):
    """What a browser sends is not trusted: the number of a proposal is a whole one."""
    mailbox = FakeMailbox()

    assert not Controls(mailbox).post("apply", Status.RUNNING, number)
    assert mailbox.posted == []


def test_a_tip_cannot_be_applied_to_a_run_that_has_ended():
    """A click that waited until the cell ended changes nothing."""
    assert not Controls(FakeMailbox()).post("apply", Status.STOPPED, 7)


def test_each_button_tells_how_it_works():
    """While paused, resume is offered and pause is not."""
    run = FakeRun(status=Status.PAUSED)
    facts = Controls(FakeMailbox()).facts(replace(StateReader(run).read(), elapsed=10.0))

    assert facts["controls"] == {"pause": "none", "resume": "queued", "stop": "queued"}


def test_a_button_is_not_given_up_at_once():
    """In the first seconds the browser may just not have drawn: nothing is said to be broken."""
    facts = Controls(FakeMailbox()).facts(replace(StateReader(FakeRun()).read(), elapsed=1.0))

    assert facts["controls"]["pause"] == "live"
