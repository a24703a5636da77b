"""Loss against learning rate, as a learning-rate range test has measured it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bigmodel_lab.i18n import text
from bigmodel_lab.training.range_test import RangeCurve
from bigmodel_lab.widgets._figure import LINES, colours, new_figure, plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_INCHES = (5.6, 3.6)


def range_figure(curve: RangeCurve, title: str, *, dark: bool = False) -> Figure:
    """One chart: the loss of each step, the smoothed loss, and the learning rate at which it falls fastest.

    Args:
        curve: What was measured.
        title: Above the chart.
        dark: Light letters on a dark ground.

    Raises:
        MissingPackageError: matplotlib is not installed.
    """
    with colours(dark=dark):
        figure = new_figure(_INCHES)
        axes = figure.add_subplot()
        plain(axes, title)
        axes.plot(curve.rates, curve.losses, color=LINES[0], alpha=0.35, linewidth=1, label=text("range.loss", "loss"))
        axes.plot(curve.rates, curve.smoothed, color=LINES[0], label=text("range.smoothed", "smoothed loss"))
        if curve.steepest is not None:
            name = text("range.suggested", "steepest descent: {rate}", rate=f"{curve.steepest:.2g}")
            axes.axvline(curve.steepest, color=LINES[1], linestyle="--", label=name)
        axes.set_xscale("log")
        if len(curve.smoothed):  # single batches explode far beyond what the smoothed loss shows
            axes.set_ylim(bottom=min(0.0, float(curve.losses.min())), top=1.1 * float(curve.smoothed.max()))
        axes.set_xlabel(text("range.rate", "learning rate"), fontsize=9)
        axes.set_ylabel(text("range.loss", "loss"), fontsize=9)
        axes.legend(fontsize=8, frameon=False)
    return figure
