"""Temperature of the GPU chip."""

from __future__ import annotations

from bigmodel_lab.charts.base import Chart, Line
from bigmodel_lab.i18n import Text

CHART = Chart(
    title=Text("chart.gpu_temperature.title", "GPU temperature"),
    unit="celsius",
    x="time",
    lines=(Line("temperature_celsius", color=4),),
    order=80,
)
