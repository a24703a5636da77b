"""The line that appears while something takes its time."""

from __future__ import annotations

import io
import threading
from typing import Any

import pytest

from bigmodel_lab.widgets import _waiting
from bigmodel_lab.widgets._frontends import FrontEnd
from bigmodel_lab.widgets._waiting import WaitingLine

SCRIPT = FrontEnd("script", "terminal", thread_updates=True, reason="")
NOTEBOOK = FrontEnd("notebook", "jupyter", thread_updates=True, reason="")
COLAB = FrontEnd("notebook", "colab", thread_updates=False, reason="")
HEADLESS = FrontEnd("headless", "nbclient", thread_updates=True, reason="")


class Terminal(io.StringIO):
    """Remembers what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = threading.Event()

    def isatty(self) -> bool:
        """It is one."""
        return True

    def write(self, words: str) -> int:
        """And says that something was."""
        self.written.set()
        return super().write(words)


class FakeCell:
    """Remembers what is shown in a cell."""

    shown: list[tuple[str, str]]

    def __init__(self) -> None:
        FakeCell.shown = []

    def show(self, data: dict[str, Any]) -> None:
        """As a new output."""
        self.shown.append(("new", data["text/plain"]))

    def replace(self, data: dict[str, Any]) -> None:
        """In its place."""
        self.shown.append(("replaced", data["text/plain"]))


@pytest.fixture(autouse=True)
def cell(monkeypatch: pytest.MonkeyPatch) -> None:
    """No kernel runs here."""
    monkeypatch.setattr(_waiting, "Cell", FakeCell)


def test_a_terminal_shows_it_when_the_time_is_over_and_clears_it() -> None:
    """Though nothing is said meanwhile."""
    out = Terminal()
    with WaitingLine("tracing…", out, SCRIPT, after_s=0.01):
        assert out.written.wait(10)

    assert out.getvalue() == "\rtracing…\r        \r"


def test_what_is_quick_shows_nothing() -> None:
    """Not even a blank."""
    out = Terminal()
    with WaitingLine("tracing…", out, SCRIPT) as line:
        line.say("tracing at 64 samples…")

    assert out.getvalue() == ""


def test_a_shorter_line_hides_a_longer_one() -> None:
    """By blanks."""
    out = Terminal()
    with WaitingLine("", out, SCRIPT, after_s=0, now=lambda: 0.0) as line:
        line._timer.cancel()
        line.say("long words")
        line.say("short")

    assert "\rlong words\rshort     \r     \r" in out.getvalue()


@pytest.mark.parametrize("front", [NOTEBOOK, COLAB])
def test_a_notebook_replaces_one_output_and_empties_it(front: FrontEnd) -> None:
    """Never two; where threads are not heard, what is said from the cell is."""
    with WaitingLine("tracing…", front=front, after_s=0) as line:
        line._timer.join(10) if front is NOTEBOOK else None
        line.say("one")
        line.say("two")
    expected = [("new", "tracing…"), ("replaced", "one"), ("replaced", "two"), ("replaced", "")]

    assert FakeCell.shown == (expected if front is NOTEBOOK else [("new", "one"), *expected[2:]])


@pytest.mark.parametrize(("out", "front"), [(io.StringIO(), SCRIPT), (Terminal(), HEADLESS)])
def test_nothing_is_left_in_a_file_or_in_a_notebook_without_a_page(out: io.StringIO, front: FrontEnd) -> None:
    """Where a line could not be taken away again."""
    with WaitingLine("tracing…", out, front, after_s=0) as line:
        line.say("one")

    assert out.getvalue() == ""


def test_it_goes_after_an_error_too() -> None:
    """The message has the place to itself."""
    out = Terminal()

    def work() -> None:
        with WaitingLine("tracing…", out, SCRIPT, after_s=0) as line:
            line.say("tracing…")
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        work()

    assert out.getvalue().endswith("\r        \r")


def test_a_display_that_fails_does_not_stop_the_work() -> None:
    """It is silent from there on."""
    out = Terminal()
    with WaitingLine("", out, SCRIPT, after_s=0) as line:
        out.close()
        line.say("one")
        line.say("two")
