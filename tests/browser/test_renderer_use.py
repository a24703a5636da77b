"""What a person does with the dashboard: cursor, zoom, explanations, commands, themes."""

from __future__ import annotations

import re

import numpy as np
import pytest
from playwright.sync_api import expect

from tests.browser import renderer_page
from tests.browser.renderer_page import (
    Bench,
    Rows,
    chart,
    drag,
    ink,
    settle,
    state,
)

pytestmark = pytest.mark.browser
chromium, bench, running = renderer_page.chromium, renderer_page.bench, renderer_page.running


def test_keyboard_moves_the_cursor(running: Bench) -> None:
    """Arrow keys, Home and End move the cursor, and a screen reader hears the values."""
    plot = chart(running, "loss").locator(".bml-plot")
    plot.press("End")
    expect(plot).to_have_attribute("data-cursor", "299")
    plot.press("ArrowLeft")
    expect(plot).to_have_attribute("data-cursor", "298")
    plot.press("Home")
    expect(plot).to_have_attribute("data-cursor", "0")
    expect(running.page.locator("[aria-live=polite]")).to_contain_text(re.compile(r"step 0: train loss \d"))


def test_cursor_is_shared_by_charts_of_one_axis(running: Bench) -> None:
    """The same step is marked in every chart over steps, and in none over time."""
    chart(running, "loss").locator(".bml-plot").press("Home")
    expect(chart(running, "step_time").locator(".bml-plot")).to_have_attribute("data-cursor", "0")
    expect(chart(running, "gpu_power").locator(".bml-plot")).to_have_attribute("data-cursor", "")


def test_drag_zooms_and_asks_for_finer_data(running: Bench) -> None:
    """A zoom asks for each stream of the axis, and shows what comes."""
    drag(running, "loss", 0.25, 0.5)
    running.page.wait_for_function("() => bench.sent.some(m => m.type === 'range')")
    asked = running.sent("range")
    assert [message["stream"] for message in asked] == [0, 1]
    assert 50 < asked[0]["from"] < asked[0]["to"] < 200
    fine = Rows(0, np.linspace(asked[0]["from"], asked[0]["to"], 50), {"loss": np.full(50, 9.25)})
    running.raw({"type": "range", "request": asked[0]["request"], "groups": [fine.shape()]}, fine.data())
    plot = chart(running, "loss").locator(".bml-plot")
    plot.hover()
    expect(chart(running, "loss").locator("[data-metric=loss]")).to_contain_text("9.25")


def test_zoom_is_reset_by_double_click(running: Bench) -> None:
    """Reset stands there while zoomed; a double click does the same."""
    drag(running, "loss", 0.25, 0.5)
    reset = chart(running, "accuracy").get_by_role("button", name="Reset")
    expect(reset).to_be_visible()
    chart(running, "loss").locator(".u-over").dblclick()
    expect(reset).to_be_hidden()


def test_plain_wheel_scrolls_the_page(running: Bench) -> None:
    """A notebook can be scrolled across the charts; with Ctrl the wheel zooms."""
    chart(running, "loss").locator(".u-over").hover()
    reset = chart(running, "loss").get_by_role("button", name="Reset")
    running.page.mouse.wheel(0, -100)
    expect(reset).to_be_hidden()
    running.page.keyboard.down("Control")
    running.page.mouse.wheel(0, -100)
    expect(reset).to_be_visible()


def test_log_switch_says_its_state(running: Bench) -> None:
    """The switch of the loss keeps its state in aria-pressed, and the chart stays."""
    log = chart(running, "loss").get_by_role("button", name="Log")
    log.click()
    expect(log).to_have_attribute("aria-pressed", "true")
    settle(running)
    assert ink(chart(running, "loss"), 0, 1) > 200


@pytest.mark.parametrize("opener", ["bml-tile-loss", "bml-chart-loss"])
def test_every_number_explains_itself(running: Bench, opener: str) -> None:
    """A tile or a legend value opens its meaning; Escape closes it and gives the focus back."""
    place = running.page.get_by_test_id(opener)
    button = place if "tile" in opener else place.locator("[data-metric=loss]")
    button.focus()
    running.page.keyboard.press("Enter")
    bubble = running.page.get_by_role("dialog")
    expect(bubble).to_contain_text("What the optimizer makes smaller")
    expect(bubble).to_be_focused()
    running.page.keyboard.press("Escape")
    expect(bubble).to_be_hidden()
    expect(button).to_be_focused()


def test_pause_answers_at_once_and_waits_for_the_state(running: Bench) -> None:
    """Pause says "Pausing…" before any answer, and becomes Resume when the run is paused."""
    pause = running.page.get_by_test_id("bml-pause")
    pause.click()
    expect(pause).to_have_text("Pausing…")
    pause.dispatch_event("click")
    assert running.sent("command") == [{"type": "command", "name": "pause"}]
    running.raw({"type": "ack", "name": "pause", "ok": True})
    expect(pause).to_have_text("Pausing…")
    running.send("delta", state=state(status="paused"))
    expect(pause).to_be_hidden()
    expect(running.page.get_by_test_id("bml-resume")).to_be_focused()


def test_slow_command_tells_another_way(running: Bench) -> None:
    """Without an answer for three seconds the view names the Interrupt button."""
    running.page.get_by_test_id("bml-stop").click()
    expect(running.page.get_by_test_id("bml-advice")).to_contain_text("Interrupt")


@pytest.mark.parametrize("reach", ["queued", "none"])
def test_no_dead_buttons(running: Bench, reach: str) -> None:
    """Where clicks do not arrive there are no buttons but the ways that work."""
    running.send("delta", state=state(controls=dict.fromkeys(("pause", "resume", "stop"), reach)))
    expect(running.page.get_by_test_id("bml-pause")).to_be_hidden()
    expect(running.page.get_by_test_id("bml-advice")).to_contain_text("bigmodel-lab ctl pause mlp-20261122-1606")


@pytest.mark.parametrize("status", ["finished", "stopped", "failed", "lost"])
def test_ended_run_has_no_controls(running: Bench, status: str) -> None:
    """The status stands in words, and nothing is left to press."""
    running.send("delta", state=state(status=status))
    expect(running.page.get_by_test_id("bml-status")).to_have_text(renderer_page.STRINGS[f"status_{status}"])
    expect(running.page.get_by_test_id("bml-stop")).to_be_hidden()
    expect(running.page.get_by_test_id("bml-advice")).to_be_hidden()


def test_badge_names_the_origin(bench: Bench) -> None:
    """A recorded run says so."""
    bench.open(origin="recorded", badge="recorded")
    expect(bench.page.get_by_test_id("bml-badge")).to_have_text("recorded")


def test_silence_is_noticed(running: Bench) -> None:
    """A running run without news for five seconds is not shown as if all were well."""
    notice = running.page.get_by_test_id("bml-notice")
    expect(notice).to_contain_text("No news from the kernel", timeout=9_000)
    running.send("delta")
    expect(notice).to_be_hidden()


def test_theme_switch_changes_colours(running: Bench) -> None:
    """A change of JupyterLab's theme repaints style sheet and canvases."""
    line = chart(running, "gpu_power").locator("canvas")
    before = line.evaluate("c => c.toDataURL()")
    running.page.evaluate("() => { document.body.dataset.jpThemeLight = 'false' }")
    expect(running.page.get_by_test_id("bml-dashboard")).to_have_attribute("data-theme", "dark")
    settle(running)
    assert line.evaluate("c => c.toDataURL()") != before


@pytest.mark.parametrize(("theme", "back"), [("light", (255, 255, 255)), ("dark", (22, 24, 29))])
def test_lines_have_contrast(running: Bench, theme: str, back: tuple[int, int, int]) -> None:
    """Every colour of the palette stands out from its background by at least 3 to 1."""
    root = running.page.get_by_test_id("bml-dashboard")
    running.page.evaluate("t => { document.body.dataset.jpThemeLight = String(t === 'light') }", theme)
    expect(root).to_have_attribute("data-theme", theme)
    names = [f"--bml-line-{i}" for i in range(6)] + ["--bml-muted", "--bml-focus"]
    colours = root.evaluate("(r, names) => names.map(n => getComputedStyle(r).getPropertyValue(n))", names)
    shades = [tuple(int(c.strip()[i : i + 2], 16) for i in (1, 3, 5)) for c in colours]
    assert [c for c, rgb in zip(colours, shades, strict=True) if _contrast(rgb, back) < 3] == []


def _contrast(one: tuple[int, ...], other: tuple[int, ...]) -> float:
    """Contrast as WCAG 2 defines it."""

    def light(rgb: tuple[int, ...]) -> float:
        parts = [v / 255 / 12.92 if v / 255 <= 0.04045 else ((v / 255 + 0.055) / 1.055) ** 2.4 for v in rgb]
        return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]

    low, high = sorted((light(one), light(other)))
    return (high + 0.05) / (low + 0.05)
