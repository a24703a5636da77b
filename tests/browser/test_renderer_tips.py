"""Cards of tips and the alert about memory: the real bundle in Chromium, with a fake anywidget model."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.browser import renderer_page
from tests.browser.renderer_page import STRINGS, Bench, state
from tests.browser.tips_page import ALLOCATOR, BF16, CHECKPOINTING, FULL, MEASURED, press, proposal, tell, tip

pytestmark = pytest.mark.browser
chromium, bench, running = renderer_page.chromium, renderer_page.bench, renderer_page.running


def commands(bench: Bench) -> list[tuple[str, int | None]]:
    """Name and number of every command that the view sent."""
    return [(message["name"], message.get("id")) for message in bench.sent("command")]


def queued(bench: Bench, reach: str) -> None:
    """Clicks do not reach the training."""
    bench.send("delta", state=state(controls=dict.fromkeys(("pause", "resume", "stop"), reach)))


# ---------------------------------------------------------------- cards


def test_cards_appear(running: Bench) -> None:
    """Each with what it makes better, why, what it is expected to do, and whether that is simulated."""
    tell(running, proposal(1, BF16), proposal(2, CHECKPOINTING))
    expect(running.page.get_by_test_id("bml-tip")).to_have_count(2)
    for words in ("memory", "proposed", "tensor cores", "expected", "step time × 0.4 – 0.7"):
        expect(tip(running, 1)).to_contain_text(words)
    expect(tip(running, 1)).not_to_contain_text("simulated")
    expect(tip(running, 2)).to_contain_text("simulated")


def test_without_tips_there_is_no_section(running: Bench) -> None:
    """No heading over nothing."""
    tell(running)
    expect(running.page.get_by_test_id("bml-tips")).to_be_hidden()


def test_tips_stand_between_tiles_and_charts(running: Bench) -> None:
    """Below the numbers that they are about."""
    tell(running, proposal(1, BF16))
    tops = [running.page.locator(css).bounding_box() for css in (".bml-tiles", ".bml-tips", ".bml-grid")]
    heights = [box["y"] for box in tops if box is not None]
    assert heights == sorted(heights)
    assert len(heights) == 3


def test_a_card_that_is_no_longer_proposed_goes(running: Bench) -> None:
    """The advice of now counts."""
    tell(running, proposal(1, BF16), proposal(2, CHECKPOINTING))
    tell(running, proposal(1, BF16, "withdrawn"), proposal(2, CHECKPOINTING))
    expect(running.page.get_by_test_id("bml-tip")).to_have_attribute("data-id", "2")


def test_what_only_the_person_can_do_has_no_button(running: Bench) -> None:
    """It says that it needs a restart, and how it is done stands in the details."""
    tell(running, proposal(1, ALLOCATOR))
    expect(tip(running, 1)).to_contain_text("needs a restart")
    expect(tip(running, 1).get_by_test_id("bml-tip-apply")).to_be_hidden()


@pytest.mark.parametrize(
    "message", [{"cards": None}, {"cards": [None, {"id": 3}], "held": 7}, {"held": {"title": "x"}}]
)
def test_a_malformed_message_is_survived(running: Bench, message: dict[str, object]) -> None:
    """Whatever comes, the view stays and shows the next good message."""
    running.raw({"type": "tips", **message})
    tell(running, proposal(1, BF16))
    expect(tip(running, 1)).to_contain_text("bf16")


def test_names_cannot_break_out(running: Bench) -> None:
    """A title with markup is shown as text."""
    tell(running, proposal(1, {**BF16, "title": "<b>bold</b>"}))
    expect(tip(running, 1).locator("h4")).to_have_text("<b>bold</b>")


# ---------------------------------------------------------------- apply and undo


def test_apply_answers_at_once_and_waits_for_the_state(running: Bench) -> None:
    """One command with the number of the proposal, and "Applying…" until the kernel says what became of it."""
    tell(running, proposal(1, BF16), proposal(2, CHECKPOINTING))
    button = press(running, 2, "apply")
    expect(button).to_have_text("Applying…")
    button.dispatch_event("click")
    running.raw({"type": "ack", "name": "apply", "ok": True, "id": 2})
    expect(button).to_have_text("Applying…")
    assert commands(running) == [("apply", 2)]
    tell(running, proposal(1, BF16), proposal(2, CHECKPOINTING, "applied"))
    expect(button).to_be_hidden()
    expect(tip(running, 2)).to_contain_text("being measured")


def test_only_the_pressed_card_waits(running: Bench) -> None:
    """Another tip can be applied meanwhile."""
    tell(running, proposal(1, BF16), proposal(2, CHECKPOINTING))
    press(running, 2, "apply")
    expect(tip(running, 1).get_by_test_id("bml-tip-apply")).to_have_text("Apply")


def test_a_refused_command_frees_the_button(running: Bench) -> None:
    """The run may have ended just then; the button says Apply again, and a screen reader hears why."""
    tell(running, proposal(1, BF16))
    button = press(running, 1, "apply")
    running.raw({"type": "ack", "name": "apply", "ok": False, "id": 1})
    expect(button).to_have_text("Apply")
    expect(running.page.locator("[aria-live=polite]")).to_have_text(STRINGS["command_refused"])


def test_a_tip_that_cannot_be_applied_frees_the_button(running: Bench) -> None:
    """Its state is what it was, and its verdict says why."""
    tell(running, proposal(1, BF16))
    button = press(running, 1, "apply")
    tell(running, proposal(1, BF16, verdict="Not in this run."))
    expect(button).to_have_text("Apply")
    expect(tip(running, 1)).to_contain_text("Not in this run.")


def test_a_message_without_news_does_not_free_the_button(running: Bench) -> None:
    """The answer to a hello of another view brings the same cards."""
    tell(running, proposal(1, BF16))
    button = press(running, 1, "apply")
    tell(running, proposal(1, BF16))
    expect(button).to_have_text("Applying…")


def test_measured_numbers_stand_beside_the_expected_ones(running: Bench) -> None:
    """Each under its own word, and with the verdict."""
    tell(running, proposal(1, BF16, "kept", **MEASURED))
    expect(tip(running, 1).locator(".bml-expected dt")).to_have_text("expected")
    expect(tip(running, 1).locator(".bml-measured dt")).to_have_text("measured here")
    expect(tip(running, 1).locator(".bml-measured dd")).to_have_text([*MEASURED["measured"], MEASURED["verdict"]])


def test_undo_sends_its_command(running: Bench) -> None:
    """What was kept can be undone, and says "Undoing…" meanwhile."""
    tell(running, proposal(1, BF16, "kept", **MEASURED))
    expect(tip(running, 1).get_by_test_id("bml-tip-apply")).to_be_hidden()
    expect(press(running, 1, "undo")).to_have_text("Undoing…")
    assert commands(running) == [("undo", 1)]


@pytest.mark.parametrize("what", ["proposed", "applied", "kept", "reverted", "inconclusive", "undone"])
def test_every_state_has_a_word_and_a_sign(running: Bench, what: str) -> None:
    """Colour is never the only difference."""
    tell(running, *(proposal(n, BF16, name) for n, name in enumerate(("proposed", what), 1)))
    pills = running.page.locator(".bml-tip-state")
    expect(pills.nth(1)).to_have_text(STRINGS[f"tip_{what}"])
    signs = pills.evaluate_all("all => all.map(p => getComputedStyle(p, '::before').content)")
    assert (signs[0] == signs[1]) is (what == "proposed")


def test_a_verdict_is_heard(running: Bench) -> None:
    """A screen reader is told what became of the tip."""
    tell(running, proposal(1, BF16))
    tell(running, proposal(1, BF16, "kept", **MEASURED))
    heard = f"{BF16['title']}: kept. {MEASURED['verdict']}"
    expect(running.page.locator("[aria-live=polite]")).to_have_text(heard)


@pytest.mark.parametrize("reach", ["queued", "none"])
def test_where_clicks_do_not_arrive_a_command_is_shown(running: Bench, reach: str) -> None:
    """No dead buttons: the terminal does it, and undoes it."""
    tell(running, proposal(1, BF16), proposal(2, CHECKPOINTING, "kept", **MEASURED), proposal(3, ALLOCATOR))
    queued(running, reach)
    expect(tip(running, 1).locator("code")).to_have_text("bigmodel-lab ctl apply mlp-20261122-1606 --tip 1")
    expect(tip(running, 2).locator("code")).to_have_text("bigmodel-lab ctl undo mlp-20261122-1606 --tip 2")
    expect(tip(running, 3).locator("code")).to_have_count(0)
    for name in ("apply", "undo"):
        expect(running.page.get_by_test_id(f"bml-tip-{name}").locator("visible=true")).to_have_count(0)


def test_an_ended_run_keeps_its_cards_without_buttons(running: Bench) -> None:
    """What was measured can still be read, and the code be copied."""
    tell(running, proposal(1, BF16, "kept", **MEASURED))
    running.send("delta", state=state(status="finished"))
    expect(tip(running, 1).get_by_role("button")).to_have_text(["Details"])
    expect(tip(running, 1)).to_contain_text("peak memory 9.8 GiB → 5.3 GiB")


# ---------------------------------------------------------------- details and folding


def test_details_show_costs_and_code(running: Bench) -> None:
    """The code of each framework, and whether it can be done there while the run goes on."""
    tell(running, proposal(1, BF16))
    expect(tip(running, 1).locator("pre").first).to_be_hidden()
    button = press(running, 1, "details")
    expect(button).to_have_attribute("aria-expanded", "true")
    expect(tip(running, 1).locator(".bml-more")).to_contain_text("Eight bits of mantissa")
    expect(tip(running, 1).locator("pre")).to_have_text([code["text"] for code in BF16["code"]])
    told = tip(running, 1).locator("h5 > span")
    expect(told).to_have_text([STRINGS["in_mid_run"], STRINGS["in_mid_run"], STRINGS["in_new_run"]])


def test_details_show_the_whole_reason(running: Bench) -> None:
    """Folded it has two lines."""
    tell(running, proposal(1, BF16))
    why = tip(running, 1).locator(".bml-why")
    cut = "p => p.scrollHeight > p.clientHeight"
    assert why.evaluate(cut)
    press(running, 1, "details")
    assert not why.evaluate(cut)


def test_code_is_copied(running: Bench) -> None:
    """With its line breaks; the button says so."""
    running.page.evaluate(
        """() => Object.defineProperty(navigator, "clipboard",
          { value: { writeText: async (text) => { window.bench.copied = text } } })"""
    )
    tell(running, proposal(1, BF16))
    press(running, 1, "details")
    tip(running, 1).get_by_role("button", name="Copy Loop of your own").click()
    expect(tip(running, 1).get_by_role("button", name="Copied")).to_be_visible()
    assert running.page.evaluate("() => bench.copied") == BF16["code"][1]["text"]


def test_where_the_page_may_not_copy_the_code_is_selected(running: Bench) -> None:
    """Ctrl+C does the rest."""
    running.page.evaluate(
        """() => Object.defineProperty(navigator, "clipboard",
          { value: { writeText: () => Promise.reject(new Error("not allowed")) } })"""
    )
    tell(running, proposal(1, BF16))
    press(running, 1, "details")
    tip(running, 1).locator(".bml-copy").first.click()
    running.page.wait_for_function("text => getSelection().toString().trim() === text", arg=BF16["code"][0]["text"])


def test_tips_fold_to_one_line(running: Bench) -> None:
    """It names how many and which, and stays folded when news come."""
    tell(running, proposal(1, BF16), proposal(2, CHECKPOINTING))
    fold = running.page.get_by_test_id("bml-fold")
    fold.click()
    expect(fold).to_have_text(f"2 tips: {BF16['title']}; {CHECKPOINTING['title']}")
    expect(fold).to_have_attribute("aria-expanded", "false")
    tell(running, proposal(1, BF16))
    expect(fold).to_have_text(f"1 tip: {BF16['title']}")
    expect(tip(running, 1)).to_be_hidden()


# ---------------------------------------------------------------- keyboard


def test_focus_survives_an_update(running: Bench) -> None:
    """News of a card, and of its neighbours, leave the same button under the keyboard."""
    tell(running, proposal(1, BF16), proposal(2, CHECKPOINTING))
    button = tip(running, 2).get_by_test_id("bml-tip-details")
    button.focus()
    tell(running, proposal(2, {**CHECKPOINTING, "why": "Another reason."}), proposal(3, BF16))
    expect(tip(running, 2)).to_contain_text("Another reason.")
    expect(button).to_be_focused()


def test_an_unchanged_card_is_not_built_again(running: Bench) -> None:
    """Its elements are the same ones after news of another card."""
    tell(running, proposal(1, BF16))
    tip(running, 1).locator("dd").first.evaluate("node => { node.dataset.mark = 'old' }")
    tell(running, proposal(1, BF16), proposal(2, CHECKPOINTING))
    expect(tip(running, 1).locator("dd").first).to_have_attribute("data-mark", "old")


def test_the_keyboard_goes_from_apply_to_undo(running: Bench) -> None:
    """By way of the details, while there is nothing to press."""
    tell(running, proposal(1, BF16))
    tip(running, 1).get_by_test_id("bml-tip-apply").focus()
    running.page.keyboard.press("Enter")
    assert commands(running) == [("apply", 1)]
    tell(running, proposal(1, BF16, "kept", **MEASURED))
    expect(tip(running, 1).get_by_test_id("bml-tip-undo")).to_be_focused()


def test_a_focused_card_that_goes_leaves_the_focus_in_the_section(running: Bench) -> None:
    """The keyboard does not start again at the top of the page."""
    tell(running, proposal(1, BF16), proposal(2, CHECKPOINTING))
    tip(running, 1).get_by_test_id("bml-tip-details").focus()
    tell(running, proposal(2, CHECKPOINTING))
    expect(running.page.get_by_test_id("bml-fold")).to_be_focused()


# ---------------------------------------------------------------- out of memory


def test_what_ran_out_is_an_alert(running: Bench) -> None:
    """Where, how much, and what happens now."""
    tell(running, proposal(1, BF16), full=FULL)
    alert = running.page.get_by_role("alert")
    for words in ("Out of GPU memory at step 4, backward pass", "Asked for", "2 GiB", "The step waits"):
        expect(alert).to_contain_text(words)


def test_the_bar_says_in_words_what_it_shows(running: Bench) -> None:
    """As its label, and as a legend with the size of each part."""
    tell(running, full=FULL)
    bar = running.page.get_by_role("img", name=re.compile(r"parameters 1\.3 GiB \(9\.4 %\), gradients"))
    expect(bar.locator("span")).to_have_count(6)
    expect(running.page.locator(".bml-shares-legend li").nth(3)).to_have_text("activations 8.2 GiB (59 %)")


def test_the_bar_is_as_long_as_the_shares(running: Bench) -> None:
    """Activations take 59 % of it."""
    tell(running, full=FULL)
    part = running.page.locator(".bml-shares [data-kind=activation]")
    share = part.evaluate("p => p.offsetWidth / p.parentElement.offsetWidth")
    assert share == pytest.approx(0.59, abs=0.01)


def test_stop_beside_the_alert_stops_the_run(running: Bench) -> None:
    """The same command as the button at the top, and both say that it is under way."""
    tell(running, full=FULL)
    stop = running.page.get_by_test_id("bml-held-stop")
    stop.click()
    expect(stop).to_have_text("Stopping…")
    assert commands(running) == [("stop", None)]


def test_where_clicks_do_not_arrive_the_terminal_stops_a_held_step(running: Bench) -> None:
    """Going on without a change would only run out again."""
    running.send("delta", state=state(status="paused", controls=dict.fromkeys(("pause", "resume", "stop"), "queued")))
    tell(running, proposal(1, BF16), full=FULL)
    expect(running.page.get_by_test_id("bml-advice").locator("code")).to_have_text(
        "bigmodel-lab ctl stop mlp-20261122-1606"
    )
    expect(running.page.get_by_test_id("bml-held-stop")).to_be_hidden()


def test_a_step_that_waits_for_nobody_has_no_stop(running: Bench) -> None:
    """A smaller micro-batch is tried by itself."""
    tell(running, full={**FULL, "waits": False, "action": "shrink"})
    expect(running.page.get_by_role("alert")).to_contain_text("smaller micro-batch")
    expect(running.page.get_by_test_id("bml-held-stop")).to_be_hidden()


def test_the_original_error_can_be_read(running: Bench) -> None:
    """Whole, on demand."""
    tell(running, full=FULL)
    error = running.page.get_by_text(FULL["message"])
    expect(error).to_be_hidden()
    running.page.get_by_text("Original error", exact=True).click()
    expect(error).to_be_visible()


def test_a_held_step_unfolds_the_tips(running: Bench) -> None:
    """Until the step is made; then they are folded as the person left them."""
    tell(running, proposal(1, BF16))
    running.page.get_by_test_id("bml-fold").click()
    tell(running, proposal(1, BF16), full=FULL)
    expect(tip(running, 1)).to_be_visible()
    tell(running, proposal(1, BF16))
    expect(tip(running, 1)).to_be_hidden()
    expect(running.page.get_by_test_id("bml-held")).to_be_hidden()


def test_the_tips_stand_right_below_the_alert(running: Bench) -> None:
    """The tiles make room while a step is held, and come back."""
    tell(running, proposal(1, BF16), full=FULL)
    order = "() => [...document.querySelectorAll('.bml > :is(.bml-held, .bml-tips, .bml-tiles)')].map(n => n.className)"
    assert running.page.evaluate(order) == ["bml-held", "bml-tips", "bml-tiles"]
    tell(running, proposal(1, BF16))
    assert running.page.evaluate(order) == ["bml-tiles", "bml-held", "bml-tips"]


@pytest.mark.parametrize("width", [480, 1400])
def test_nothing_is_wider_than_the_page(running: Bench, width: int) -> None:
    """Neither cards with their details open, nor the alert."""
    running.page.set_viewport_size({"width": width, "height": 900})
    tell(running, proposal(1, BF16), proposal(2, ALLOCATOR), full=FULL)
    press(running, 1, "details")
    root = running.page.get_by_test_id("bml-dashboard")
    assert root.evaluate(
        "r => [...r.querySelectorAll('.bml-tips, .bml-held, .bml-tip')].every(n => n.scrollWidth <= n.clientWidth + 1)"
    )
