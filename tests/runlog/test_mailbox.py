"""How wishes reach the training loop."""

import os
import signal
import threading
import time

import pytest

from bigmodel_lab.runlog.mailbox import Mailbox


def test_commands_come_in_order_with_their_source():
    """Taking returns what was posted, oldest first, and lowers the flag."""
    mailbox = Mailbox()
    mailbox.post("pause", "widget")
    mailbox.post("apply", "terminal", tip="bf16", name="x")
    assert mailbox.flag
    taken = mailbox.take()
    assert [(c.name, c.source, c.args) for c in taken] == [
        ("pause", "widget", {}),
        ("apply", "terminal", {"tip": "bf16", "name": "x"}),
    ]
    assert not mailbox.flag
    assert mailbox.take() == []


def test_a_job_runs_on_the_thread_that_takes():
    """A job from another thread runs at the loop's next step boundary."""
    mailbox, ran_on = Mailbox(), []
    poster = threading.Thread(target=mailbox.call_soon, args=(lambda: ran_on.append(threading.get_ident()),))
    poster.start()
    poster.join()
    assert ran_on == []
    mailbox.take()
    assert ran_on == [threading.get_ident()]


def test_a_failing_job_loses_no_command():
    """Its error reaches the loop; the command waits for the next call."""
    mailbox = Mailbox()
    mailbox.call_soon(lambda: 1 / 0)
    mailbox.post("stop", "widget")
    with pytest.raises(ZeroDivisionError):
        mailbox.take()
    assert mailbox.flag
    assert [c.name for c in mailbox.take()] == ["stop"]


def test_waiting_ends_when_something_is_posted():
    """A paused loop wakes long before its timeout."""
    mailbox = Mailbox()
    threading.Timer(0.05, mailbox.post, ("resume", "widget")).start()
    start = time.monotonic()
    assert mailbox.wait(30)
    assert time.monotonic() - start < 10


def test_waiting_gives_up_after_its_time():
    """Without a command the answer is False."""
    assert Mailbox().wait(0.05) is False


def test_an_old_bell_does_not_wake_a_later_wait():
    """What was taken already counts no more."""
    mailbox = Mailbox()
    mailbox.post("pause", "widget")
    mailbox.take()
    assert mailbox.wait(0.05) is False


@pytest.mark.skipif(os.name == "nt", reason="signals as on POSIX")
def test_a_signal_handler_may_post_while_the_main_thread_waits():
    """Interrupt during a pause reaches the loop: no lock is held that the handler needs."""
    mailbox = Mailbox()
    before = signal.signal(signal.SIGUSR1, lambda *_: mailbox.post("stop", "interrupt"))
    try:
        threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGUSR1)).start()
        assert mailbox.wait(30)
        assert [c.source for c in mailbox.take()] == ["interrupt"]
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_no_post_is_lost_between_threads():
    """Every command of four posting threads is taken exactly once."""
    mailbox, taken = Mailbox(), []
    posters = [threading.Thread(target=lambda: [mailbox.post("x", "api") for _ in range(500)]) for _ in range(4)]
    for poster in posters:
        poster.start()
    while any(poster.is_alive() for poster in posters):
        taken += mailbox.take()
    taken += mailbox.take()
    assert len(taken) == 2000
    assert not mailbox.flag


def test_the_way_in_is_unknown_until_proved():
    """A view may only promise a pause when a message can get through."""
    mailbox = Mailbox()
    assert mailbox.inbound is None
    mailbox.prove_inbound("widget")
    assert mailbox.inbound == "widget"
