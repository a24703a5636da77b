"""`lab.estimate_memory`: the estimate as a person meets it."""

from __future__ import annotations

import inspect
import json

import pytest
import torch
from torch import nn

import bigmodel_lab as lab
from bigmodel_lab import estimate
from bigmodel_lab.api._memory_estimate import _AtOnce
from bigmodel_lab.errors import ConfigError, UnknownNameError


@pytest.fixture(scope="module")
def of_mlp() -> lab.MemoryEstimate:
    """The documented multilayer perceptron on a T4."""
    return lab.estimate_memory("mlp", gpu="T4")


def test_the_public_function_has_the_signature_of_the_one_inside():
    """Help and completion show every setting with its default."""
    assert inspect.signature(lab.estimate_memory) == inspect.signature(estimate.estimate_memory)


def test_a_page_shows_the_report(of_mlp: lab.MemoryEstimate):
    """As the last line of a cell: the verdict, the label, and no colour of its own."""
    html = of_mlp._repr_html_()

    assert "fits" in html
    assert "simulated" in html


def test_printing_gives_the_report_as_text(of_mlp: lab.MemoryEstimate):
    """A terminal gets headline, categories and largest tensors."""
    text = str(of_mlp)

    assert text.startswith("Peak ")
    assert "Largest at the peak" in text


def test_its_short_form_is_one_line(of_mlp: lab.MemoryEstimate):
    """In a list of estimates each takes one line, and says that it is one."""
    assert len(repr(of_mlp).splitlines()) == 1
    assert "estimate" in repr(of_mlp)


def test_the_timeline_is_drawn_and_labelled(of_mlp: lab.MemoryEstimate):
    """Nothing simulated looks as if it were recorded; the card is named."""
    picture = of_mlp.timeline

    assert picture.label == "simulated"
    assert picture.svg().startswith("<svg")


def test_the_map_of_a_moment_is_another_than_that_of_the_peak(of_mlp: lab.MemoryEstimate):
    """After the first request one segment is held, at the peak several."""
    first, peak = of_mlp.allocator_map(0), of_mlp.allocator_map()

    assert first.label == peak.label == "simulated"
    assert len(first.body) < len(peak.body)


def test_cards_are_compared_in_the_order_given(of_mlp: lab.MemoryEstimate):
    """Names and sizes alike; without any, all cards."""
    assert [row[0] for row in of_mlp.fits_on("T4", "2GiB").rows] == ["T4", "2GiB"]
    assert len(of_mlp.fits_on().rows) > 20


def test_an_unknown_card_is_named(of_mlp: lab.MemoryEstimate):
    """With the nearest one that exists."""
    with pytest.raises(UnknownNameError, match="H100"):
        of_mlp.fits_on("H10")


def test_an_estimate_made_again_can_draw_itself_too(of_mlp: lab.MemoryEstimate):
    """Another micro-batch of the same plan, on the same card."""
    larger = of_mlp.again(micro_batch_size=256)

    assert isinstance(larger, lab.MemoryEstimate)
    assert (larger.micro_batch_size, larger.card) == (256, of_mlp.card)
    assert larger.by_category["input"] == 4 * of_mlp.by_category["input"]


def test_exploring_begins_with_the_estimate(of_mlp: lab.MemoryEstimate):
    """On a console the view is the report."""
    view = of_mlp.explore("T4", "A100-80")

    assert view.estimate is of_mlp
    assert repr(view) == str(of_mlp)


def test_the_controls_begin_with_the_estimates_own_settings(of_mlp: lab.MemoryEstimate):
    """Micro-batch, precision and checkpointing stand where they were estimated."""
    sliders, _ = of_mlp.again(checkpointing=True).explore().controls().children

    assert [control.value for control in sliders.children] == [64, "fp32", True]


def test_json_says_everything_in_bytes(of_mlp: lab.MemoryEstimate):
    """It survives being written and read, and its categories add up to the peak."""
    read = json.loads(json.dumps(of_mlp.as_json()))

    assert sum(read["by_category"].values()) == read["peak_allocated_bytes"] == of_mlp.peak_allocated_bytes
    assert read["reserved_range_bytes"] == list(of_mlp.reserved_range)
    assert read["device_bytes"] == of_mlp.peak_reserved_bytes + of_mlp.card.context_bytes
    assert len(read["moment_of_peak"]["largest"]) == 10


def test_without_a_card_fits_asks_which():
    """The estimate was made for no card in particular."""
    with pytest.raises(ConfigError, match="Which card"):
        lab.estimate_memory("mlp").fits()


def test_ones_own_model_and_step_are_estimated():
    """The batch may be a stand-in on the meta device; the model is not touched."""
    model = nn.Linear(1024, 1024, bias=False)
    before = model.weight
    batch = torch.empty(256, 1024, device="meta")
    found = lab.estimate_memory(model, batch, step=lambda net, x: net(x).square().mean(), optimizer="sgd")

    assert found.by_category["parameter"] == model.weight.nbytes
    assert model.weight is before
    assert model.weight.grad is None


def test_the_slider_needs_no_new_trace_for_another_size():
    """After two traces every micro-batch size comes from a straight line: what is shown equals a trace at that size."""
    estimate = lab.estimate_memory("mlp")
    at_once = _AtOnce(estimate)
    shown = at_once(micro_batch_size=100, precision="fp32", checkpointing=False)
    assert shown.peak_allocated_bytes == estimate.again(micro_batch_size=100).peak_allocated_bytes
    assert shown.trace is not at_once(micro_batch_size=101, precision="fp32", checkpointing=False).trace


def test_a_switch_traces_once():
    """A choice of number format is traced when it is chosen first, and kept."""
    at_once = _AtOnce(lab.estimate_memory("mlp"))
    first = at_once(micro_batch_size=64, precision="bf16", checkpointing=False)
    assert first.precision == "bf16"
    assert at_once(micro_batch_size=64, precision="bf16", checkpointing=False).trace is first.trace


def test_a_long_search_says_how_far_it_is(of_mlp: lab.MemoryEstimate, monkeypatch: pytest.MonkeyPatch):
    """At how many samples, which trace it is and of how many; each before it is made."""
    said: list[str] = []
    monkeypatch.setattr("bigmodel_lab.widgets.WaitingLine.say", lambda _, words: said.append(words))
    heard: list[tuple[int, int, int]] = []
    of_mlp.max_micro_batch_in(2**30, report=lambda *now: heard.append(now))

    assert said == [f"tracing at {size} samples ({number} of about {about})…" for size, number, about in heard]
    assert heard[0][1:] == (1, 2)
    assert [number for _, number, _ in heard] == list(range(1, len(heard) + 1))
    assert all(number <= about for _, number, about in heard)
