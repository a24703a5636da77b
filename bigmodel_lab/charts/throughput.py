"""Samples trained per second."""

from __future__ import annotations

from bigmodel_lab.charts.base import Chart, Line
from bigmodel_lab.i18n import Text

CHART = Chart(
    title=Text("chart.throughput.title", "Throughput"),
    unit="samples/s",
    x="step",
    lines=(Line("samples_per_second", color=2),),
    order=40,
    from_zero=True,
)
