"""Power the card draws."""

from __future__ import annotations

from bigmodel_lab.charts.base import Chart, Line
from bigmodel_lab.i18n import Text

CHART = Chart(
    title=Text("chart.gpu_power.title", "GPU power"),
    unit="watts",
    x="time",
    lines=(Line("power_watts", color=4),),
    order=70,
    from_zero=True,
)
