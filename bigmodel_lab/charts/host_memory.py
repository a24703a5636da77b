"""Main memory of this process, and what the machine has left."""

from __future__ import annotations

from bigmodel_lab.charts.base import Chart, Line
from bigmodel_lab.i18n import Text

CHART = Chart(
    title=Text("chart.host_memory.title", "Main memory"),
    unit="bytes",
    x="time",
    lines=(
        Line("process_resident_bytes", color=0),
        Line("host_available_bytes", color=5, dashed=True),
    ),
    order=90,
    from_zero=True,
)
