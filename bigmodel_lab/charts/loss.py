"""Loss of every step and of the validation data."""

from __future__ import annotations

from bigmodel_lab.charts.base import Chart, Line
from bigmodel_lab.i18n import Text

CHART = Chart(
    title=Text("chart.loss.title", "Loss"),
    unit="",
    x="step",
    lines=(
        Line("loss", color=0),
        Line("validation_loss", color=1, points=True),
    ),
    order=10,
    logarithmic=True,
)
