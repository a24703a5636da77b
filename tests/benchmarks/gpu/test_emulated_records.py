"""What PyTorch's CUDA build asked for over emulated cards, predicted again: a part of the cases for each card."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import pytest

from benchmarks.gpu.cases import find
from benchmarks.gpu.estimates import Estimate, estimate
from benchmarks.gpu.measuring import Truth
from benchmarks.gpu.memory_truth import Found, from_record
from benchmarks.gpu.report import EMULATED, summary
from benchmarks.measuring.machine import RECORDS
from bigmodel_lab.memory.cards import card

FILES = sorted(RECORDS.glob("*_memory_truth_emulated_*.json"))
CARDS = {
    "Tesla T4": "T4",
    "NVIDIA A100-SXM4-80GB": "A100-80",
    "NVIDIA H100 80GB HBM3": "H100-80",
    "NVIDIA H200": "H200",
}
STRIDE = 4
"""Of each card every fourth case is predicted again, of the next card the next."""


@cache
def recorded(number: int) -> tuple[dict[str, Any], Found]:
    """A record, as data and as rows."""
    values = json.loads(FILES[number].read_text("utf-8"))
    return values, from_record(values)


def chosen() -> list[tuple[int, str]]:
    """(Number of the record, name of the case)."""
    return [
        (number, row.case)
        for number in range(len(FILES))
        for row in recorded(number)[1].rows[number % STRIDE :: STRIDE]
        if row.truth is not None
    ]


@cache
def both(number: int, case: str) -> tuple[Estimate, Truth]:
    """Prediction of today, and what was recorded."""
    found = recorded(number)[1]
    truth = next(row.truth for row in found.rows if row.case == case)
    predicted, why_not = estimate(find(case), found.facts.card)
    assert predicted is not None, why_not
    assert truth is not None
    return predicted, truth


def test_there_is_a_record_of_each_card() -> None:
    """Four, each labelled as emulated."""
    assert {recorded(number)[0]["card"]["name"] for number in range(len(FILES))} == set(CARDS)
    assert all(recorded(number)[0]["is_emulated"] is True for number in range(len(FILES)))


@pytest.mark.parametrize("number", range(len(FILES)))
def test_the_record_says_in_words_that_the_card_is_emulated(number: int) -> None:
    """In the text that people read."""
    assert "(emulated)" in FILES[number].with_suffix(".md").read_text("utf-8")


@pytest.mark.parametrize("number", range(len(FILES)))
def test_the_record_is_of_a_known_card(number: int) -> None:
    """Its processors and capability are those of the table of cards."""
    facts = recorded(number)[1].facts
    known = card(CARDS[facts.name])

    assert (facts.capability, facts.multiprocessors) == (known.capability, known.multiprocessors)


@pytest.mark.parametrize("number", range(len(FILES)))
def test_the_record_keeps_what_is_promised(number: int) -> None:
    """Median, 95th percentile and largest error, ranges, and none above them."""
    figures = summary(recorded(number)[1].rows)

    assert figures is not None
    assert figures.compared > 80
    assert [words for passed, words in figures.verdicts(EMULATED) if not passed] == []


@pytest.mark.parametrize(("number", "case"), chosen())
def test_peak_allocated_is_met_within_a_thousandth(number: int, case: str) -> None:
    """Today as when it was recorded."""
    predicted, truth = both(number, case)

    assert abs(predicted.error(truth)) <= 0.001


@pytest.mark.parametrize(("number", "case"), chosen())
def test_peak_reserved_is_inside_its_range(number: int, case: str) -> None:
    """A peak above it would be a "fits" that runs out."""
    predicted, truth = both(number, case)

    assert predicted.covers(truth)
