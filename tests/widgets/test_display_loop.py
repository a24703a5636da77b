"""The display where threads may not publish, and after the end, without a kernel."""

from __future__ import annotations

import threading
import time

import pytest
from fakes import FakeMailbox, full_run

from bigmodel_lab.runlog.base import Status
from bigmodel_lab.widgets import FrontEnd, RunDisplay
from bigmodel_lab.widgets._cell import Cell
from bigmodel_lab.widgets.dashboard import Dashboard

COLAB = FrontEnd("notebook", "colab", thread_updates=False, reason="")
JUPYTER = FrontEnd("notebook", "jupyter", thread_updates=True, reason="")


@pytest.fixture
def sent(monkeypatch):
    """What was shown and sent, with the thread that did it."""
    log = []
    monkeypatch.setattr(Cell, "_publish", lambda *_, **__: log.append(("output", threading.get_ident())))
    monkeypatch.setattr("bigmodel_lab.widgets._bundle.bundle_missing", lambda *_: "")
    monkeypatch.setattr("bigmodel_lab.widgets.dashboard.browser_code", lambda: ("export default {}", ""))
    monkeypatch.setattr(
        Dashboard, "send_frame", lambda _, frame: log.append((frame.content["type"], threading.get_ident()))
    )
    return log


def until(true):
    """Wait for another thread, ten seconds at most."""
    ends = time.monotonic() + 10
    while not true() and time.monotonic() < ends:
        time.sleep(0.01)
    assert true()


def test_where_threads_may_not_the_loop_publishes(sent):
    """On Colab everything is sent by the thread of the training loop."""
    mailbox, run = FakeMailbox(), full_run(500)
    display = RunDisplay(run, mailbox, COLAB)
    display.show()
    until(lambda: display.serve in mailbox.jobs)
    mailbox.boundary()
    display.finish()

    assert "keyframe" in dict(sent)
    assert {thread for _, thread in sent} == {threading.get_ident()}


def test_hello_after_the_end_is_answered(sent):
    """A page that is loaded after the run gets the whole of it."""
    run = full_run(500)
    run.state = Status.FINISHED
    display = RunDisplay(run, FakeMailbox(), JUPYTER)
    display.show()
    display.finish()
    sent.clear()
    display._receive({"type": "hello", "view": "v"})

    assert sent[0][0] == "keyframe"


def test_a_late_hello_brings_the_widget_back(sent, monkeypatch):
    """Pictures give way to the widget once the browser is heard."""
    monkeypatch.setattr("bigmodel_lab.widgets.display.HEAR_SECONDS", 0.0)
    display = RunDisplay(full_run(500), FakeMailbox(), JUPYTER)
    display.show()
    until(lambda: display.stage == "picture")
    display._receive({"type": "hello", "view": "v"})
    until(lambda: display.stage == "widget")
    display.finish()

    assert display.stage == "final"


def test_a_command_is_acknowledged(sent):
    """Pause goes into the mailbox, and the browser is told."""
    mailbox = FakeMailbox()
    display = RunDisplay(full_run(500), mailbox, JUPYTER)
    display.show()
    display._receive({"type": "hello", "view": "v"})
    display._receive({"type": "command", "name": "pause"})
    until(lambda: "ack" in dict(sent))
    display.finish()

    assert mailbox.posted == [("pause", "widget")]


def test_the_end_comes_once(sent):
    """A second finish shows nothing more."""
    display = RunDisplay(full_run(500), FakeMailbox(), JUPYTER)
    display.show()
    display.finish()
    shown = len(sent)
    display.finish()

    assert len(sent) == shown
