"""An estimate in a notebook."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from pictures import hovers, texts

from bigmodel_lab.errors import ConfigError
from bigmodel_lab.memory.cards import card
from bigmodel_lab.memory.fits import COLOURS
from bigmodel_lab.memory.report import report_text
from bigmodel_lab.widgets import _estimate_view
from bigmodel_lab.widgets._estimate_view import EstimateView, estimate_html, estimate_map, estimate_timeline
from bigmodel_lab.widgets._frontends import FrontEnd
from tests.memory.estimates import FakeEstimate
from tests.memory.traces import training_trace

WIDGET = "application/vnd.jupyter.widget-view+json"


class FakeCell:
    """Notes what is shown."""

    def show(self, data):
        """A new output."""
        SHOWN.append(data)

    def replace(self, data):
        """In place of the output."""
        SHOWN.append(data)


SHOWN: list[dict] = []


def place(kind):
    """A front end of a kind."""
    return lambda: FrontEnd(kind, "jupyter", thread_updates=True, reason="")


@pytest.fixture(autouse=True)
def notebook(monkeypatch):
    """A notebook whose cells remember their outputs."""
    SHOWN.clear()
    monkeypatch.setattr(_estimate_view, "Cell", FakeCell)
    monkeypatch.setattr(_estimate_view, "detect", place("notebook"))


class Asked:
    """Estimates again, and remembers what was asked."""

    def __init__(self, error=None):
        self.settings, self.error = [], error

    def __call__(self, **settings):
        """An estimate with these settings."""
        self.settings.append(settings)
        if self.error is not None:
            raise self.error
        size = settings["micro_batch_size"]
        return FakeEstimate(training_trace(batch=size), micro_batch_size=size, precision=settings["precision"])


@pytest.fixture
def estimate():
    """Of two training steps, on a T4."""
    return FakeEstimate()


def controls(view):
    """Slider, switches and what is said below them."""
    row, said = view.controls().children
    return (*row.children, said)


def test_the_timeline_has_the_capacity_of_the_card(estimate):
    """The line is what tensors can have of it."""
    assert "↑ T4: 14.2 GiB usable" in texts(estimate_timeline(estimate))
    assert "usable" not in " ".join(texts(estimate_timeline(replace(estimate, card=None))))


def test_the_map_is_that_of_the_peak(estimate):
    """All that is allocated at the peak is in use on the map."""
    assert f"{estimate.peak_allocated_bytes / 2**20:.3g} MiB in use" in estimate_map(estimate).description


def test_the_map_of_another_moment(estimate):
    """After the first request there is one block, and the title says when."""
    picture = estimate_map(estimate, 0)

    assert picture.title == "Allocator map after request or free 1"
    assert sum("parameters" in words for words in hovers(picture)) == 1


def test_the_static_page_has_everything(estimate):
    """Headline, bar, timeline, map, largest and the table of cards, without a script."""
    html = estimate_html(estimate, ["T4", "24GiB"])

    for part in ("Peak ", "bml-bar", "GPU memory over the steps", "Allocator map at the peak", "Largest", "24GiB"):
        assert part in html
    assert html.count("<svg") == 2
    assert "<script" not in html


def test_the_cards_are_summed_up(estimate):
    """All cards lie folded below their number; those that were asked for are open."""
    assert re.search(r"<details><summary>Fits on (\d+) of \1 cards</summary>", estimate_html(estimate))
    assert "<details open><summary>Fits on 1 of 2 cards</summary>" in estimate_html(estimate, ["T4", "50MiB"])


def test_an_uncertain_card_is_counted_coloured_and_explained(estimate):
    """Beside the number of those that fit; why stands below the table where the cards were chosen."""
    html = estimate_html(estimate, ["T4", "200MiB"])

    assert "<summary>Fits on 1 of 2 cards, uncertain on 1</summary>" in html
    assert f"solid {COLOURS['uncertain']}" in html
    assert "200MiB (200 MiB): uncertain, up to 195 MiB missing. Why: the allocator may reserve" in html


def test_a_notebook_shows_controls_above_the_pictures(estimate):
    """First the widget, then report and pictures as an output that stays."""
    EstimateView(estimate, Asked())._ipython_display_()
    first, second = SHOWN

    assert set(first[WIDGET]) == {"version_major", "version_minor", "model_id"}
    assert "text/html" not in first
    assert second == {"text/plain": report_text(estimate), "text/html": estimate_html(estimate)}


def test_without_again_there_are_no_controls(estimate):
    """An estimate that cannot be made again is shown as it is."""
    view = EstimateView(estimate)
    view._ipython_display_()

    assert [set(data) for data in SHOWN] == [{"text/plain", "text/html"}]
    with pytest.raises(ConfigError, match="without again"):
        view.controls()


def test_without_a_page_there_are_no_controls(estimate, monkeypatch):
    """A notebook that a program runs gets the pictures alone: nobody could move a slider."""
    monkeypatch.setattr(_estimate_view, "detect", place("headless"))
    EstimateView(estimate, Asked())._ipython_display_()

    assert [set(data) for data in SHOWN] == [{"text/plain", "text/html"}]


def test_controls_begin_with_the_settings_of_the_estimate(estimate):
    """Slider, precision and checkpointing show what was estimated."""
    size, precision, checkpointing, _ = controls(EstimateView(estimate, Asked(), checkpointing=True))

    assert (size.value, size.min, size.max) == (64, 1, 256)
    assert (precision.value, precision.options) == ("fp32", ("fp32", "tf32", "bf16", "fp16"))
    assert checkpointing.value


def test_the_slider_ends_where_it_is_told(estimate):
    """The largest micro-batch of the slider can be given; it never ends below the estimate's own."""
    assert controls(EstimateView(estimate, Asked(), largest_micro_batch_size=90))[0].max == 90
    assert controls(EstimateView(estimate, Asked(), largest_micro_batch_size=8))[0].max == 64


def test_the_slider_waits_for_the_hand(estimate):
    """It estimates when the hand lets go, not at each value on the way."""
    assert not controls(EstimateView(estimate, Asked()))[0].continuous_update


@pytest.mark.parametrize(
    ("place", "value", "settings"),
    [
        (0, 128, {"micro_batch_size": 128, "precision": "fp32", "checkpointing": False}),
        (1, "bf16", {"micro_batch_size": 64, "precision": "bf16", "checkpointing": False}),
        (2, True, {"micro_batch_size": 64, "precision": "fp32", "checkpointing": True}),
    ],
)
def test_a_change_estimates_again(estimate, place, value, settings):
    """Each control asks for a new estimate with all settings, and only one."""
    asked = Asked()
    controls(EstimateView(estimate, asked))[place].value = value

    assert asked.settings == [settings]


def test_a_change_replaces_the_pictures(estimate):
    """The output has the new estimate, and so has the view."""
    view = EstimateView(estimate, Asked())
    view._ipython_display_()
    size, *_ = controls(view)
    size.value = 256

    assert view.estimate.micro_batch_size == 256
    assert SHOWN[-1]["text/html"] == estimate_html(view.estimate)
    assert "Micro-batch 256" in SHOWN[-1]["text/plain"]


def test_what_cannot_be_estimated_is_said(estimate):
    """The last estimate stays, the reason stands below the controls, as text."""
    view = EstimateView(estimate, Asked(ConfigError("No <b>bf16</b> here.")))
    _, precision, _, said = controls(view)
    precision.value = "bf16"

    assert view.estimate is estimate
    assert said.value == "No &lt;b&gt;bf16&lt;/b&gt; here. The last estimate is still shown."


def test_a_mistake_in_the_program_is_not_hidden(estimate):
    """Only errors that this library raises on purpose are turned into words."""
    view = EstimateView(estimate, Asked(ZeroDivisionError("a bug")))

    with pytest.raises(ZeroDivisionError):
        controls(view)[0].value = 2


def test_a_terminal_shows_the_text(estimate):
    """Without a notebook the view is the report."""
    assert repr(EstimateView(estimate, Asked())) == report_text(estimate)


def test_chosen_cards_are_shown(estimate):
    """The table has the cards that were asked for, names and cards alike."""
    EstimateView(estimate, cards=["L4", card("8GiB")])._ipython_display_()

    assert "8GiB" in SHOWN[0]["text/html"]
    assert "V100" not in SHOWN[0]["text/html"]
