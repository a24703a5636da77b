"""Time of every optimizer step."""

from __future__ import annotations

from bigmodel_lab.charts.base import Chart, Line
from bigmodel_lab.i18n import Text

CHART = Chart(
    title=Text("chart.step_time.title", "Step time"),
    unit="seconds",
    x="step",
    lines=(Line("step_seconds", color=2),),
    order=30,
    from_zero=True,
)
