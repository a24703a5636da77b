"""The charts of a run with their numbers, reduced by minimum and maximum, for every still picture."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from bigmodel_lab import metrics
from bigmodel_lab.charts import Chart, Line
from bigmodel_lab.i18n import text
from bigmodel_lab.runlog.base import Source, StreamHeader
from bigmodel_lab.units import format_value
from bigmodel_lab.widgets._history import Floats
from bigmodel_lab.widgets._spec import charts_of
from bigmodel_lab.widgets._stream import rows_of

_MARKED = 60  # more values than this are not marked one by one
_WIDE = 300.0  # a loss that falls by more than this is drawn in powers of ten


@dataclass(frozen=True)
class Series:
    """One line of a panel, without its unknown values."""

    line: Line
    """How to draw it."""
    label: str
    """Name for the legend."""
    x: Floats
    """Step or seconds of each bucket, shape (n,)."""
    low: Floats
    """Smallest value of each bucket, shape (n,)."""
    high: Floats
    """Largest value of each bucket, shape (n,)."""
    last: float
    """Latest known value; NaN if it is unknown now."""
    gaps: tuple[int, ...]
    """Where something unknown lies before the value with this index: the line is interrupted."""

    @property
    def marked(self) -> bool:
        """Each value is marked: there are few, and between them nothing was measured."""
        return len(self.x) == 1 or (self.line.points and len(self.x) <= _MARKED)

    def pieces(self) -> list[slice]:
        """The uninterrupted stretches; one ends too where a run went back to a checkpoint and made steps again."""
        back = (np.flatnonzero(np.diff(self.x) < 0) + 1).tolist()
        return [slice(a, b) for a, b in pairwise(sorted({0, *self.gaps, *back, len(self.x)}))]


@dataclass(frozen=True)
class Panel:
    """One chart with its numbers."""

    chart: Chart
    """What it shows."""
    series: tuple[Series, ...]
    """Its lines; those without any value are left out."""
    reason: str
    """Why there is nothing to draw; empty when there is."""
    x_range: tuple[float, float]
    """Ends of the horizontal axis."""
    y_range: tuple[float, float]
    """Ends of the vertical axis."""
    logarithmic: bool
    """The vertical axis is in powers of ten."""

    def legend(self, series: Series) -> str:
        """Name and latest value of a line."""
        return f"{series.label} {format_value(series.last, self.chart.unit)}"


def panels(source: Source, buckets: int) -> list[Panel]:
    """Every chart of the run in the order of the dashboard.

    Args:
        source: The run.
        buckets: Most buckets along the horizontal axis.
    """
    found: dict[str, Series] = {}
    unknown = source.unknown()
    lines = {line.metric: line for named in charts_of(source) for line in named.chart.lines}
    for header in source.streams():
        # The first stream that has a metric counts: the loss of steps, not its mean over an epoch.
        wanted = [lines[key] for key in header.keys if key in lines and key not in found]
        found |= {series.line.metric: series for series in _series(source, header, wanted, buckets, unknown.keys())}
    return [_panel(named.chart, found, unknown) for named in charts_of(source)]


def _series(
    source: Source, header: StreamHeader, wanted: Iterable[Line], buckets: int, unknown: Iterable[str]
) -> Iterable[Series]:
    if not source.count(header.name):
        return
    started = int(source.header()["started_monotonic_ns"])
    rows = rows_of(source.reduced(header.name, buckets), header, started)
    latest = source.read(header.name, source.count(header.name) - 1, 1).values
    for line in wanted:
        column = header.keys.index(line.metric)
        known = np.isfinite(rows.low[:, column]) & np.isfinite(rows.high[:, column])
        if known.any():
            low, high = rows.low[known, column], rows.high[known, column]
            last = float(latest[-1, column]) if len(latest) and column < latest.shape[1] else math.nan
            if math.isnan(last) and line.metric not in unknown:
                last = float(high[-1])  # a number that is not recorded in every row
            label = str(metrics.describe(line.metric).label)
            gaps = () if line.points else tuple((np.flatnonzero(np.diff(np.flatnonzero(known)) > 1) + 1).tolist())
            yield Series(line, label, rows.x[known], low, high, last, gaps)


def _panel(chart: Chart, found: dict[str, Series], unknown: Mapping[str, str]) -> Panel:
    series = tuple(found[line.metric] for line in chart.lines if line.metric in found)
    if not series:
        reason = next((unknown[line.metric] for line in chart.lines if line.metric in unknown), "")
        reason = reason or text("picture.no_values", "no values yet")
        return Panel(chart, (), reason, (0, 1), (0, 1), logarithmic=False)
    low, high = min(float(s.low.min()) for s in series), max(float(s.high.max()) for s in series)
    logarithmic = chart.logarithmic and low > 0 and high / low > _WIDE
    x_low, x_high = min(float(s.x.min()) for s in series), max(float(s.x.max()) for s in series)
    if chart.x == "time":
        x_low = min(0.0, x_low)
    ends = (low, high) if logarithmic else _ends(chart, low, high)
    return Panel(chart, series, "", (x_low, x_high if x_high > x_low else x_low + 1), ends, logarithmic)


def _ends(chart: Chart, low: float, high: float) -> tuple[float, float]:
    low = min(0.0, low) if chart.from_zero else low
    high = max(high, chart.maximum) if chart.maximum is not None else high
    room = 0.05 * (high - low) or abs(high) * 0.1 or 1.0
    top = high if chart.maximum == high else high + room
    return (low if chart.from_zero and low == 0 else low - room), top
