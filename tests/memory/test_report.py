"""An estimate in words, as text and as HTML."""

from __future__ import annotations

import re
from dataclasses import replace
from xml.etree import ElementTree as ET

import pytest

from bigmodel_lab.memory.report import (
    category_bar,
    category_table,
    headline,
    moment_in_words,
    range_in_words,
    report_html,
    report_text,
)
from bigmodel_lab.memory.requests import Allocation, RequestTrace
from bigmodel_lab.units import format_bytes
from tests.memory.estimates import FakeEstimate, FakeMoment

GIB = 2**30


def parsed(html):
    """The HTML as a tree; fails where it is not well-formed."""
    return ET.fromstring(f"<div>{html.replace('<br>', '<br/>')}</div>")


def words_of(html):
    """Every text of the HTML."""
    return " | ".join(piece for piece in parsed(html).itertext() if piece)


def test_the_headline_tells_peak_range_and_card():
    """Allocated, reserved as a range, that all is simulated, and whether it fits."""
    estimate = FakeEstimate()
    said = headline(estimate)

    assert said.startswith(f"Peak {format_bytes(estimate.peak_allocated_bytes)} allocated, ")
    assert "reserved (simulated). T4 (14.8 GiB): fits," in said


def test_without_a_card_there_is_no_verdict():
    """Nobody asked about a card, so nothing is said about one."""
    said = report_text(FakeEstimate(card=None))

    assert "fits" not in said
    assert "CUDA context" not in said


@pytest.mark.parametrize(
    ("least", "most", "said"),
    [
        (int(2.3 * GIB), int(2.6 * GIB), "2.3–2.6 GiB"),
        (GIB // 2, GIB, "512 MiB – 1 GiB"),
        (GIB, GIB, "1 GiB"),
        (0, 512, "0–512 B"),
    ],
)
def test_a_range_has_its_unit_once(least, most, said):
    """Where both sizes have the same unit it is written once."""
    assert range_in_words(least, most) == said


@pytest.mark.parametrize(
    ("moment", "said"),
    [
        (FakeMoment(), "in the backward pass of step 2, when module blocks.3.up asks for memory in aten.mm."),
        (FakeMoment(phase="forward", step=0, module=""), "in the forward pass of step 1, in aten.mm."),
        (FakeMoment(phase="optimizer", module="", maker=""), "in the optimizer's step of step 2."),
        (FakeMoment(phase="load", step=-1, module="", maker=""), "while the model is loaded."),
        (FakeMoment(phase="decode", step=-1, module="", maker=""), "in decode."),
    ],
)
def test_the_moment_of_the_peak_is_a_sentence(moment, said):
    """Phase, step counted from 1, module and operation, as far as they are known."""
    assert moment_in_words(moment) == f"The peak comes {said}"


def test_shares_add_up_to_everything():
    """The table of the categories tells all that is alive at the peak."""
    shares = [float(row[2].split()[0]) for row in category_table(FakeEstimate().by_category).rows]

    assert sum(shares) == pytest.approx(100, abs=1)


def test_an_empty_category_has_no_row():
    """Nothing is said of what holds nothing at the peak."""
    table = category_table({"parameter": 1024, "activation": 0})

    assert [row[0] for row in table.rows] == ["parameters"]


def test_nothing_allocated_is_no_error():
    """An estimate of nothing has an empty table and an empty bar."""
    assert category_table({}).rows == ()
    assert "bml-bar" in category_bar({})


def test_the_text_tells_everything():
    """Headline, settings, categories, moment, largest and notes follow each other."""
    said = report_text(FakeEstimate(notes=("Custom kernel k was not followed.",)))

    for part in (
        "Peak ",
        "Micro-batch 64, fp32.",
        "optimizer state",
        "The peak comes",
        "Largest at the peak",
        "blocks.",
    ):
        assert part in said
    assert said.endswith("Note: Custom kernel k was not followed.")


def test_the_html_tells_the_same():
    """The page has the same headline, moment, largest and notes as the terminal."""
    estimate = FakeEstimate(notes=("A <b> note",))
    said = words_of(report_html(estimate))

    for part in (headline(estimate), moment_in_words(estimate.moment_of_peak), "Largest at the peak", "A <b> note"):
        assert part in said


def test_names_cannot_break_out():
    """A module or a note with markup is shown as text."""
    evil = '<script>alert("x")</script>'
    trace = RequestTrace((Allocation(4096, "parameter", evil, evil),), (0,))
    html = report_html(replace(FakeEstimate(), trace=trace, notes=(evil,)))

    assert "<script" not in html
    assert words_of(html).count(evil) == 3


def test_the_bar_is_as_wide_as_its_parts():
    """The widths of the parts add up to the whole bar; each tells itself when the mouse is over it."""
    html = category_bar(FakeEstimate().by_category)
    widths = [float(width) for width in re.findall(r"width:([\d.]+)%", html)]

    assert sum(widths) == pytest.approx(100, abs=0.1)
    assert html.count('title="parameters ') == 1


def test_the_bar_has_the_colours_of_the_pictures():
    """Light and dark come from the same variables as in the pictures."""
    html = category_bar({"activation": 5})

    assert 'class="k3"' in html
    assert "[data-jp-theme-light=false] .bml-parts" in html
