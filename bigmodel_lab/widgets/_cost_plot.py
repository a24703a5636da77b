"""Latency, throughput and memory of inference against the batch size, as a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bigmodel_lab.i18n import text
from bigmodel_lab.training.inference_cost import InferenceCost
from bigmodel_lab.units import format_number
from bigmodel_lab.widgets._figure import LINES, colours, new_figure, plain
from bigmodel_lab.widgets._ticks import log_ticks, tick_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_PANEL_INCHES = (4.2, 3.2)
_MARKS = 6


def cost_figure(cost: InferenceCost, *, dark: bool = False) -> Figure:
    """One chart each for latency, throughput and, where it is known, memory; batches that do not fit are left out.

    Args:
        cost: What was measured.
        dark: Light letters on a dark ground.

    Raises:
        MissingPackageError: matplotlib is not installed.
    """
    fitting = [batch for batch in cost.batches if batch.median_seconds is not None]
    sizes = [batch.batch_size for batch in fitting]
    charts: list[tuple[str, str, dict[str, list[float | None]]]] = [
        (
            text("cost_plot.latency", "Latency of a pass"),
            "seconds",
            {
                text("cost_plot.median", "median"): [batch.median_seconds for batch in fitting],
                text("cost_plot.p95", "95 of 100 are quicker"): [batch.p95_seconds for batch in fitting],
            },
        ),
        (
            text("cost_plot.throughput", "Throughput, samples/s"),
            "samples/s",
            {"": [batch.samples_per_second for batch in fitting]},
        ),
    ]
    if any(batch.peak_bytes is not None for batch in fitting):
        charts.append((text("cost_plot.peak", "Peak memory"), "bytes", {"": [batch.peak_bytes for batch in fitting]}))
    with colours(dark=dark):
        figure = new_figure((_PANEL_INCHES[0] * len(charts), _PANEL_INCHES[1]))
        figure.suptitle(cost.table().title, fontsize=11)
        for place, (title, unit, lines) in enumerate(charts):
            _draw(figure.add_subplot(1, len(charts), place + 1), title, unit, sizes, lines)
    return figure


def _draw(axes: Axes, title: str, unit: str, sizes: list[int], lines: dict[str, list[float | None]]) -> None:
    plain(axes, title)
    for nth, (name, values) in enumerate(lines.items()):
        axes.plot(
            sizes, np.array(values, float), "o-" if nth == 0 else "o--", markersize=4, color=LINES[nth], label=name
        )
    axes.set_xscale("log")
    axes.set_xticks(sizes, labels=[format_number(size) for size in sizes])
    axes.set_xticks([], minor=True)
    axes.set_xlabel(text("cost_plot.batch", "batch size"), fontsize=9)
    _scale(axes, unit, [value for values in lines.values() for value in values if value])
    if "" not in lines:
        axes.legend(fontsize=7, frameon=False)


def _scale(axes: Axes, unit: str, values: list[float]) -> None:
    """In powers of ten, as the sizes are."""
    if not values:
        return
    low, high = min(values) / 1.3, max(values) * 1.3
    axes.set_yscale("log")
    axes.set_ylim(low, high)
    marks = [factor * power for power in log_ticks(low / 10, high, 9) for factor in (1, 2, 5)]
    marks = [mark for mark in marks if low <= mark <= high]
    marks = marks if len(marks) <= _MARKS else log_ticks(low, high, _MARKS)
    axes.set_yticks(marks, labels=[tick_label(mark, unit) for mark in marks])
    axes.set_yticks([], minor=True)
