"""Accuracy of every step's batch and of the validation data."""

from __future__ import annotations

from bigmodel_lab.charts.base import Chart, Line
from bigmodel_lab.i18n import Text

CHART = Chart(
    title=Text("chart.accuracy.title", "Accuracy"),
    unit="fraction",
    x="step",
    lines=(
        Line("accuracy", color=0),
        Line("validation_accuracy", color=1, points=True),
    ),
    order=20,
    maximum=1.0,
)
