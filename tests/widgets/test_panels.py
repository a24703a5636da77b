"""Lines of still pictures: where they are interrupted."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from bigmodel_lab.charts import Line
from bigmodel_lab.runlog import RunLog
from bigmodel_lab.widgets._panels import Series, panels


def series(x: list[float], gaps: tuple[int, ...] = ()) -> Series:
    """A line over these steps."""
    at = np.array(x, dtype=float)
    return Series(Line("loss", color=0), "loss", at, at, at, 1.0, gaps)


def pieces(line: Series) -> list[list[float]]:
    """The steps of each stretch."""
    return [line.x[piece].tolist() for piece in line.pieces()]


def test_a_line_is_one_piece():
    """Where nothing is missing."""
    assert pieces(series([0, 1, 2])) == [[0, 1, 2]]


def test_a_line_is_interrupted_where_something_is_unknown():
    """Before the value behind the gap."""
    assert pieces(series([0, 1, 4, 5], gaps=(2,))) == [[0, 1], [4, 5]]


def test_a_line_is_interrupted_where_a_run_went_back_to_a_checkpoint():
    """No stroke leads back across the chart, and the same place breaks it once."""
    assert pieces(series([0, 1, 2, 1, 2, 3])) == [[0, 1, 2], [1, 2, 3]]
    assert pieces(series([0, 1, 2, 1, 2], gaps=(3,))) == [[0, 1, 2], [1, 2]]


def test_steps_made_before_going_back_stay_in_the_picture(tmp_path: Path):
    """The axis goes to the furthest step, not to the latest."""
    log = RunLog.create("again", tmp_path)
    steps = log.stream("step", axis="step", keys=("loss",))
    for step in (*range(9), *range(3, 5)):
        steps.append(step, time.monotonic_ns(), (1.0,))
    (loss,) = [panel for panel in panels(log, 100) if any(s.line.metric == "loss" for s in panel.series)]
    log.close()

    assert loss.x_range == (0, 8)
