"""What the browser is told to draw."""

from __future__ import annotations

import json

from fakes import FakeRun, full_run

from bigmodel_lab.widgets._spec import build_spec, charts_of


def keys_of(run):
    """Names of the charts."""
    return [named.key for named in charts_of(run)]


def test_spec_is_json_with_all_its_parts():
    """The spec survives JSON and has what the wire format says."""
    run = full_run(origin="recorded")
    spec = json.loads(json.dumps(build_spec(run, run.streams(), controls=True)))

    parts = {"run_id", "title", "origin", "badge", "streams", "metrics", "charts", "strings", "controls", "total_steps"}
    assert parts == set(spec)
    assert spec["badge"] == "recorded"
    assert {"metric", "color", "dashed", "points"} == set(spec["charts"][0]["lines"][0])


def test_a_chart_needs_a_metric_or_a_reason():
    """GPU charts appear on a machine with a GPU, or where its absence is explained."""
    run = FakeRun()
    run.add("step", ("loss",), [1.0])
    assert keys_of(run) == ["loss"]

    run.reasons = {"power_watts": "No driver."}
    assert keys_of(run) == ["loss", "gpu_power"]


def test_own_numbers_get_charts_by_quantity():
    """The same quantity on train and validation data shares a chart; losses share one."""
    run = FakeRun()
    run.add("step", ("loss", "train/f1", "val_f1", "kl_loss", "generator/loss", "grad_norm"), [[1.0] * 6])
    own = {named.key: [line.metric for line in named.chart.lines] for named in charts_of(run)}

    assert own == {
        "loss": ["loss"],
        "own:f1": ["train/f1", "val_f1"],
        "own:loss": ["kl_loss", "generator/loss"],
        "own:grad_norm": ["grad_norm"],
    }


def test_at_most_six_lines_share_a_chart():
    """The palette has six colours; the seventh line begins another chart."""
    run = FakeRun()
    run.add("step", tuple(f"{n}_loss" for n in "abcdefg"), [[1.0] * 7])

    assert keys_of(run) == ["own:loss", "own:loss:2"]
