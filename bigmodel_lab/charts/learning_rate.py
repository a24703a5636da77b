"""Learning rate of every step, where it changes; a run with a constant one records none and shows no chart."""

from __future__ import annotations

from bigmodel_lab.charts.base import Chart, Line
from bigmodel_lab.i18n import Text

CHART = Chart(
    title=Text("chart.learning_rate.title", "Learning rate"),
    unit="",
    x="step",
    lines=(Line("learning_rate", color=2),),
    order=25,
    from_zero=True,
)
