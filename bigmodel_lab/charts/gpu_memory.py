"""Memory of the card: this process's allocator inside the whole card's use and total."""

from __future__ import annotations

from bigmodel_lab.charts.base import Chart, Line
from bigmodel_lab.i18n import Text

CHART = Chart(
    title=Text("chart.gpu_memory.title", "GPU memory"),
    unit="bytes",
    x="time",
    lines=(
        Line("allocated_bytes", color=0),
        Line("reserved_bytes", color=1),
        Line("device_used_bytes", color=3),
        Line("device_total_bytes", color=5, dashed=True),
    ),
    order=50,
    from_zero=True,
)
