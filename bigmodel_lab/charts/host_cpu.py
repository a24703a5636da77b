"""CPU time of this process and of the whole machine."""

from __future__ import annotations

from bigmodel_lab.charts.base import Chart, Line
from bigmodel_lab.i18n import Text

CHART = Chart(
    title=Text("chart.host_cpu.title", "CPU"),
    unit="percent",
    x="time",
    lines=(
        Line("process_cpu_percent", color=0),
        Line("host_cpu_percent", color=5, dashed=True),
    ),
    order=100,
    from_zero=True,
)
