"""Progress as text."""

from __future__ import annotations

import io
from time import monotonic_ns

from fakes import FULL, FakeRun, full_run

from bigmodel_lab.runlog.base import Status
from bigmodel_lab.widgets import ProgressLine
from bigmodel_lab.widgets._progress import line
from bigmodel_lab.widgets._state import StateReader


def test_the_line_says_how_far_it_is():
    """Steps, epoch and latest values stand in the last line."""
    out, run = io.StringIO(), full_run()
    run.state = Status.FINISHED
    run.happen("ended", 20)
    ProgressLine(run, out).finish()

    for part in ("100 %", "2,000/2,000", "epoch 5/5", "validation_accuracy", "finished after 20 s"):
        assert part in out.getvalue()


def test_a_file_gets_a_line_each_tenth():
    """A log file of a thousand steps has ten lines and the end, whatever the pace."""
    out, run = io.StringIO(), FakeRun(total_steps=1000)
    run.add("step", ("loss",), [1.0])
    shown = ProgressLine(run, out)
    for _ in range(999):
        shown.tick()
        run.add("step", ("loss",), [1.0])
    shown.finish()

    assert len(out.getvalue().splitlines()) == 11


def test_a_terminal_line_is_overwritten_once_a_second():
    """In a terminal a line replaces the one before, at most once a second."""
    out, run, time = io.StringIO(), FakeRun(total_steps=10, started_monotonic_ns=monotonic_ns()), [0.0]
    shown = ProgressLine(run, out, overwrite=True, now=lambda: time[0])
    for _ in range(32):
        shown.tick()
        time[0] += 0.125

    assert out.getvalue().count("\r") == 4
    assert "\n" not in out.getvalue()


def test_a_step_that_waits_is_told_in_the_line():
    """Who looks at text alone learns why nothing goes on."""
    run = full_run()
    run.happen("out_of_memory", 20, **FULL)

    assert line(StateReader(run).read(), {}).endswith("or stop: the original error is raised.")


def test_it_finishes_once():
    """A second end writes nothing."""
    out = io.StringIO()
    shown = ProgressLine(FakeRun(), out)
    shown.finish()
    shown.finish()

    assert len(out.getvalue().splitlines()) == 1


def test_a_total_that_becomes_known_later_is_shown():
    """A line that began before the data were loaded shows the bar as soon as the length is known."""
    run = FakeRun()
    run._header.pop("total_steps", None)
    shown = StateReader(run)
    unknown = shown.read().total_steps
    run._header["total_steps"] = 40

    assert (unknown, shown.read().total_steps) == (None, 40)
