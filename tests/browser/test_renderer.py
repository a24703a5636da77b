"""The dashboard's browser side: the real bundle in Chromium, with a fake anywidget model."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
from playwright.sync_api import expect

from bigmodel_lab import units
from tests.browser import renderer_page
from tests.browser.renderer_page import (
    GPU_KEYS,
    STATIC,
    STREAMS,
    Bench,
    Rows,
    cell,
    chart,
    gpu,
    host,
    ink,
    settle,
    state,
    training,
)

pytestmark = pytest.mark.browser
chromium, bench, running = renderer_page.chromium, renderer_page.bench, renderer_page.running


def test_bundle_is_small() -> None:
    """The one ESM file stays below 100 KB, because every view sends it."""
    assert (STATIC / "dashboard.js").stat().st_size < 100_000


def test_bundle_loads_nothing_else() -> None:
    """No address and no further chunk: it works offline and in VS Code."""
    code = (STATIC / "dashboard.js").read_text()
    assert not re.search(r"import\(|https?://(?!www\.w3\.org/)(?!github\.com/leeoniya)", code)


def test_view_says_hello(bench: Bench) -> None:
    """Each render asks the kernel for everything so far."""
    bench.open()
    bench.open()
    views = {message["view"] for message in bench.sent("hello")}
    assert len(views) == 2


def test_keyframe_fills_the_view(running: Bench) -> None:
    """The first keyframe brings every row."""
    assert running.data("points") == str(300 + 2 + 40 + 40)


def test_delta_adds_rows(running: Bench) -> None:
    """A delta goes behind what is there."""
    running.send("delta", training(5, first=300), state=state(step=305))
    assert (running.data("points"), running.data("step")) == ("387", "305")


def test_later_keyframe_is_ignored(running: Bench) -> None:
    """A keyframe for another view does not coarsen this one."""
    running.send("keyframe", training(10))
    assert running.data("points") == "382"


def test_missed_message_is_mended_by_the_next_keyframe(running: Bench) -> None:
    """After a gap in seq the view takes the next keyframe in place of its rows."""
    running.send("delta", training(5, first=400), seq=9)
    running.send("keyframe", training(405))
    assert running.data("points") == "405"


def test_missed_message_asks_again(running: Bench) -> None:
    """After a gap in seq the view says hello, but not in a storm."""
    running.page.wait_for_timeout(2_100)
    for seq in (20, 30, 40):
        running.send("delta", seq=seq)
    assert len(running.sent("hello")) == 2


def test_overlapping_rows_count_once(running: Bench) -> None:
    """Rows that a keyframe already brought are left out of the next delta."""
    running.send("delta", training(20, first=290))
    assert running.data("points") == str(382 + 10)


@pytest.mark.parametrize(
    "message",
    [
        None,
        {"type": "delta"},
        {"type": "nonsense"},
        {"type": "delta", "seq": 1, "groups": [[0, 5, 1]]},
        {"type": "delta", "seq": 1, "groups": [[99, 0, 1]], "state": 3},
        {"type": "range", "request": "x"},
    ],
)
def test_malformed_message_is_survived(running: Bench, message: object) -> None:
    """Whatever comes, the view stays and shows the next good message."""
    running.raw(message, b"abcd")
    running.send("keyframe", training(400), state=state(step=400))
    assert (running.data("points"), running.data("step")) == ("400", "400")


def test_spike_survives_merging(bench: Bench) -> None:
    """One step of a hundred thousand that jumps is still the highest value, and drawn."""
    bench.open(total_steps=100_000)
    bench.send("keyframe")
    for first in range(0, 100_000, 20_000):
        loss = np.full(20_000, 0.5)
        if first == 20_000:
            loss[7_777] = 42.0
        bench.send("delta", Rows(0, np.arange(first, first + 20_000), {"loss": loss}))
    settle(bench)
    assert int(bench.data("points")) <= 20_000
    assert ink(chart(bench, "loss"), 0.0, 0.5) > 20
    assert cell(bench, "loss", 2) == "42"


def test_bucket_shows_both_ends(bench: Bench) -> None:
    """At the cursor a bucket of several steps shows its lowest and highest value."""
    bench.open()
    bench.send("keyframe", Rows(0, [0, 10, 20], {"loss": ([1, 2, 3], [4, 5, 6])}))
    chart(bench, "loss").locator(".bml-plot").press("End")
    expect(chart(bench, "loss").locator("[data-metric=loss]")).to_contain_text("3 … 6")


def test_unknown_stretch_is_a_gap(bench: Bench) -> None:
    """NaN is unknown at the cursor too, never 0."""
    bench.open()
    bench.send("keyframe", Rows(0, [0, 1, 2], {"loss": [1, np.nan, 3]}))
    plot = chart(bench, "loss").locator(".bml-plot")
    plot.press("Home")
    plot.press("ArrowRight")
    expect(chart(bench, "loss").locator("[data-metric=loss] .bml-legend-value")).to_have_text("–")


def test_charts_without_values_fold_by_reason(bench: Bench) -> None:
    """Four GPU charts without a GPU take one line."""
    bench.open()
    reasons = dict.fromkeys(GPU_KEYS, "no NVIDIA driver")
    bench.send("keyframe", training(20), host(5), state=state(unknown=reasons))
    expect(bench.page.get_by_test_id("bml-folded").locator("li")).to_have_text(
        ["Learning rate: no values yet", "GPU memory, GPU utilization, GPU power, GPU temperature: no NVIDIA driver"]
    )
    expect(chart(bench, "gpu_memory")).to_have_count(0)


def test_folded_chart_opens_with_its_first_value(bench: Bench) -> None:
    """A chart takes its place in the order as soon as it has a value."""
    bench.open()
    bench.send("keyframe", training(20))
    bench.send("delta", gpu(3))
    keys = bench.page.locator(".bml-chart").evaluate_all("all => all.map(c => c.dataset.testid)")
    assert keys.index("bml-chart-throughput") + 1 == keys.index("bml-chart-gpu_memory")


def test_new_key_in_the_spec_is_taken_over(running: Bench) -> None:
    """A metric that the run adds later gets its column without a new view."""
    running.page.evaluate(
        """() => { const s = structuredClone(bench.spec); s.streams[0].keys.push("my_score");
          s.metrics.my_score = { label: "my score", unit: "", meaning: "Mine." };
          s.charts.push({ key: "own", title: "Own", unit: "", x: "step", from_zero: false, maximum: null,
            logarithmic: false, lines: [{ metric: "my_score", color: 0, dashed: false, points: false }] });
          bench.spec = s; bench.fire("change:spec"); }"""
    )
    values = np.asarray([301, 0.1, 0.9, 0.02, 99, 7, 0.1, 0.9, 0.02, 99, 7], "<f4")
    running.raw({"type": "delta", "seq": 1, "groups": [[0, 1, 1]], "state": state()}, values.tobytes())
    expect(running.page.get_by_test_id("bml-tile-own")).to_contain_text("7")
    expect(chart(running, "own")).to_be_visible()


def test_numbers_look_as_in_python(bench: Bench) -> None:
    """Every value and unit is formatted as units.format_value does it."""
    values = [
        0,
        1,
        0.5,
        2.5,
        0.125,
        0.00035,
        1e-7,
        9.9996,
        59.94,
        59.95,
        75,
        90.5,
        999.96,
        1000,
        1023,
        1024,
        3725,
        1e15,
    ]
    values += [-1.5, -2770634.5, 0.9995, 14.7 * 2**30, 3.5e12, 123456789, 0.029, 0.1 + 0.2, 1048575.99, 2.0**50]
    values += list(np.random.default_rng(1).lognormal(0, 9, 400))
    names = [
        "bytes",
        "seconds",
        "fraction",
        "percent",
        "watts",
        "celsius",
        "joules",
        "megahertz",
        "samples/s",
        "apples",
    ]
    table = [(value, unit) for unit in ["", *names] for value in map(float, values)]
    shown = bench.page.evaluate("t => t.map(([v, u]) => bench.formatValue(v, u))", table)
    wanted = [units.format_value(value, unit) for value, unit in table]
    assert [(a, b) for a, b in zip(shown, wanted, strict=True) if a != b] == []


@pytest.mark.parametrize("unit", ["bytes", "seconds", "fraction", ""])
def test_unknown_looks_as_in_python(bench: Bench, unit: str) -> None:
    """None and NaN are the same sign on both sides."""
    shown = bench.page.evaluate("u => [bench.formatValue(null, u), bench.formatValue(NaN, u)]", unit)
    assert shown == [units.format_value(None, unit), units.format_value(math.nan, unit)]


def test_hidden_charts_are_not_drawn(running: Bench) -> None:
    """While the table is shown, new data costs no drawing."""
    cell(running, "loss", 0)
    draws = settle(running)
    running.send("delta", training(5, first=300))
    assert settle(running) == draws


def test_only_changed_charts_are_drawn(running: Bench) -> None:
    """News of the host redraws the two charts of the host."""
    draws = settle(running)
    running.send("delta", Rows(3, [30.0], {"process_resident_bytes": 2e9, "process_cpu_percent": 80}))
    assert settle(running) - draws == 2


def test_two_views_of_one_model_show_the_same(bench: Bench) -> None:
    """A second output of the same widget is filled by the keyframe that its hello brings."""
    bench.open()
    bench.send("keyframe", training(50))
    bench.open()
    bench.send("keyframe", training(50))
    second = bench.page.get_by_test_id("bml-dashboard").nth(1)
    expect(second).to_have_attribute("data-points", "50")


def test_close_leaves_nothing(running: Bench) -> None:
    """The cleanup takes away model listeners, plots, and what was added to the page."""
    assert running.page.evaluate("() => bench.listeners.length") == 2
    running.page.evaluate("() => { bench.views[0](); bench.views[0]() }")
    assert running.page.evaluate("() => bench.listeners.length") == 0
    expect(running.page.locator(".uplot, .bml, .bml-popover")).to_have_count(0)
    sent = len(running.page.evaluate("() => bench.sent"))
    running.raw({"type": "delta", "seq": 99, "groups": [], "state": state()})
    assert len(running.page.evaluate("() => bench.sent")) == sent


def test_streams_of_the_page_match_the_charts() -> None:
    """The fake run feeds every line that the charts draw, so that no test passes by absence."""
    assert {line for _, _, keys in STREAMS for line in keys} >= {"loss", "allocated_bytes", "process_cpu_percent"}
