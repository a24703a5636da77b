"""The contract of every chart, proved on each member of the family."""

from __future__ import annotations

import subprocess
import sys

import pytest

from bigmodel_lab.charts import CHARTS, Chart, in_order
from bigmodel_lab.metrics import describe, known

PALETTE = 6  # colours of every renderer
DEMANDED = {  # charts that the dashboard promises, with the metrics that they must show
    "loss": {"loss", "validation_loss"},
    "accuracy": {"accuracy", "validation_accuracy"},
    "learning_rate": {"learning_rate"},
    "step_time": {"step_seconds"},
    "throughput": {"samples_per_second"},
    "gpu_memory": {"allocated_bytes", "reserved_bytes", "device_used_bytes", "device_total_bytes"},
    "gpu_utilization": {"gpu_utilization_percent"},
    "gpu_power": {"power_watts"},
    "gpu_temperature": {"temperature_celsius"},
    "host_memory": {"process_resident_bytes", "host_available_bytes"},
    "host_cpu": {"process_cpu_percent", "host_cpu_percent"},
}


@pytest.fixture(params=CHARTS.names())
def chart(request: pytest.FixtureRequest) -> Chart:
    """Each chart of the family."""
    return CHARTS.get(request.param)


@pytest.mark.parametrize("name", DEMANDED)
def test_demanded_chart_shows_its_metrics(name: str):
    """The dashboard shows what it promises."""
    assert {line.metric for line in CHARTS.get(name).lines} == DEMANDED[name]


def test_every_metric_is_described(chart: Chart):
    """A chart draws only numbers that can answer "what is this?"."""
    keys = {metric.key for metric in known()}

    assert {line.metric for line in chart.lines} <= keys


def test_metrics_have_the_unit_of_the_axis(chart: Chart):
    """All lines of a chart share its axis."""
    assert {describe(line.metric).unit for line in chart.lines} == {chart.unit}


def test_colours_are_of_the_palette_and_differ(chart: Chart):
    """Lines of a chart are told apart by colour."""
    colours = [line.color for line in chart.lines]

    assert all(0 <= colour < PALETTE for colour in colours)
    assert len(set(colours)) == len(colours)


def test_title_is_a_short_heading(chart: Chart):
    """A heading starts with a capital letter and fits on one line."""
    title = str(chart.title)

    assert title[0].isupper()
    assert len(title) <= 30


def test_title_has_the_key_of_its_file():
    """The title of a chart is translated by a key that names it."""
    assert all(CHARTS.get(name).title.key == f"chart.{name}.title" for name in CHARTS.names())


def test_a_maximum_lies_above_zero(chart: Chart):
    """A fixed end of the axis leaves room for the data."""
    assert chart.maximum is None or chart.maximum > 0


def test_a_logarithmic_axis_is_not_forced_to_zero(chart: Chart):
    """Powers of ten never reach 0."""
    assert not (chart.logarithmic and chart.from_zero)


def test_places_in_the_dashboard_differ():
    """The order of the dashboard does not depend on file names."""
    orders = [chart.order for _, chart in in_order()]

    assert orders == sorted(set(orders))


def test_in_order_starts_with_the_loss():
    """What matters most comes first."""
    assert [name for name, _ in in_order()][:2] == ["loss", "accuracy"]


def test_in_order_holds_every_chart():
    """No chart is left out."""
    assert sorted(name for name, _ in in_order()) == list(CHARTS.names())


def test_charts_need_neither_torch_nor_jupyter():
    """What to draw is data: reading it costs no torch, no NumPy and no Jupyter."""
    heavy = {"torch", "numpy", "IPython", "matplotlib"}
    code = (
        f"import sys; from bigmodel_lab.charts import CHARTS; CHARTS.all(); sys.exit(bool({heavy} & set(sys.modules)))"
    )

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
