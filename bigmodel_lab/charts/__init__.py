"""The family of charts: one file a chart, each with a ``CHART``; see :mod:`.base`."""

from __future__ import annotations

from bigmodel_lab._family import Family
from bigmodel_lab.charts.base import Chart, Line

CHARTS: Family[Chart] = Family("bigmodel_lab.charts", "chart", "CHART")
"""Every chart by name."""


def in_order() -> tuple[tuple[str, Chart], ...]:
    """Every chart with its name, in the order of the dashboard."""
    named = ((name, CHARTS.get(name)) for name in CHARTS.names())
    return tuple(sorted(named, key=lambda pair: pair[1].order))


__all__ = ["CHARTS", "Chart", "Line", "in_order"]
