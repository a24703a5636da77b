"""Share of time in which the GPU ran a kernel."""

from __future__ import annotations

from bigmodel_lab.charts.base import Chart, Line
from bigmodel_lab.i18n import Text

CHART = Chart(
    title=Text("chart.gpu_utilization.title", "GPU utilization"),
    unit="percent",
    x="time",
    lines=(Line("gpu_utilization_percent", color=3),),
    order=60,
    from_zero=True,
    maximum=100.0,
)
