"""The same charts as a matplotlib figure, to save or to change by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from bigmodel_lab.runlog.base import Source
from bigmodel_lab.widgets._figure import new_figure, plain
from bigmodel_lab.widgets._panels import Panel, Series, panels
from bigmodel_lab.widgets._spec import badge
from bigmodel_lab.widgets._svg import PALETTE
from bigmodel_lab.widgets._ticks import log_ticks, tick_label, ticks

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLUMNS = 3
_BUCKETS = 400


def plot(source: Source) -> Figure:
    """Every chart of the run in one matplotlib figure.

    The figure belongs to nobody but the caller: pyplot does not know it, so it need not be
    closed. As the last line of a cell it shows itself.

    Args:
        source: The run.

    Raises:
        MissingPackageError: matplotlib is not installed.
    """
    filled = [panel for panel in panels(source, _BUCKETS) if panel.series]
    rows = max(1, -(-len(filled) // _COLUMNS))
    figure = new_figure((4.2 * _COLUMNS, 2.6 * rows + 0.4))
    origin = badge(str(source.header()["origin"]))
    figure.suptitle(f"{source.header()['name']}{f'  [{origin}]' if origin else ''}", fontsize=12, fontweight="bold")
    for place, panel in enumerate(filled):
        _draw(figure.add_subplot(rows, _COLUMNS, place + 1), panel)
    return figure


def _draw(axes: Axes, panel: Panel) -> None:
    for series in reversed(panel.series):  # the first line lies in front
        _draw_line(axes, panel, series)
    plain(axes, str(panel.chart.title))
    axes.set_xlim(*panel.x_range)
    if panel.logarithmic:
        axes.set_yscale("log")
    axes.set_ylim(*panel.y_range)
    marks = log_ticks(*panel.y_range, 5) if panel.logarithmic else ticks(*panel.y_range, 5, panel.chart.unit)
    _mark(axes.yaxis, marks, lambda value: tick_label(value, panel.chart.unit))
    x_unit = "seconds" if panel.chart.x == "time" else ""
    _mark(axes.xaxis, ticks(*panel.x_range, 4, x_unit), lambda value: tick_label(value, x_unit))
    handles, labels = axes.get_legend_handles_labels()
    axes.legend(handles[::-1], labels[::-1], fontsize=7, frameon=False)


def _mark(axis: Any, values: list[float], name: Callable[[float], str]) -> None:
    axis.set_ticks(values, labels=[name(value) for value in values])
    axis.set_ticks([], minor=True)


def _draw_line(axes: Axes, panel: Panel, series: Series) -> None:
    color = PALETTE[series.line.color % len(PALETTE)]
    style: dict[str, Any] = {"color": color, "linestyle": "--" if series.line.dashed else "-", "linewidth": 1.3}
    for nth, piece in enumerate(series.pieces()):
        x, low, high = series.x[piece], series.low[piece], series.high[piece]
        if (high > low).any():
            axes.fill_between(x, low, high, color=color, alpha=0.25, linewidth=0.5)
        label = panel.legend(series) if nth == 0 else None
        axes.plot(x, (low + high) / 2, marker="o" if series.marked else "", markersize=3, label=label, **style)
