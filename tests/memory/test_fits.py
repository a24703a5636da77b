"""A predicted peak against cards."""

from __future__ import annotations

import pytest

from bigmodel_lab.errors import UnknownNameError
from bigmodel_lab.memory.cards import Card, cards
from bigmodel_lab.memory.fits import MARGIN_BYTES, Fit, fit_on, fits_table

GIB = 2**30
CARD = Card("ten", 10 * GIB, (8, 0), GIB, "made for this test")
"""9 GiB are left beside its context."""


def fit(least: float, most: float, others: float = 0) -> Fit:
    """A range in GiB against the card of 10 GiB."""
    return Fit(CARD, (round(least * GIB), round(most * GIB)), round(others * GIB))


@pytest.mark.parametrize(
    ("least", "most", "verdict"),
    [
        (4, 5, "fits"),
        (8, 8.75, "fits"),
        (8, 8.9, "tight"),
        (8, 9.5, "tight"),
        (9, 9.5, "tight"),
        (9.1, 9.5, "does not fit"),
    ],
)
def test_the_verdict_follows_the_range(least: float, most: float, verdict: str) -> None:
    """It fits with the margin at the most, does not where the least is too much, and is tight in between."""
    assert fit(least, most).verdict == verdict


def test_exactly_the_margin_still_fits() -> None:
    """The limit belongs to what fits."""
    assert Fit(CARD, (GIB, 9 * GIB - MARGIN_BYTES)).verdict == "fits"
    assert Fit(CARD, (GIB, 9 * GIB - MARGIN_BYTES + 1)).verdict == "tight"


def test_what_is_left_counts_the_context() -> None:
    """10 GiB less 1 of context less 6."""
    assert fit(5, 6).free_bytes == 3 * GIB


def test_what_is_missing_is_negative() -> None:
    """So that it can be said how much."""
    assert fit(5, 12).free_bytes == -3 * GIB


def test_other_processes_take_their_part() -> None:
    """What fits an empty card need not fit beside others."""
    assert fit(5, 6).verdict == "fits"
    assert fit(5, 6, others=5).verdict == "does not fit"


def test_the_device_range_has_the_context() -> None:
    """As nvidia-smi would show the process."""
    assert fit(5, 6).device_range == (6 * GIB, 7 * GIB)


def test_a_fit_reads_as_a_sentence() -> None:
    """Card, total, verdict, and what is left or missing."""
    assert str(fit(5, 6)) == "ten (10 GiB): fits, 3 GiB left."
    assert str(fit(11, 12)) == "ten (10 GiB): does not fit, 3 GiB missing."


def test_a_card_can_be_named() -> None:
    """By name or size."""
    assert fit_on((GIB, GIB), "T4").card.name == "T4"
    assert fit_on((GIB, GIB), "24GiB").card.total_bytes == 24 * GIB


def test_an_unknown_card_is_refused() -> None:
    """As everywhere."""
    with pytest.raises(UnknownNameError):
        fit_on((GIB, GIB), "T5")


def test_the_table_has_every_card() -> None:
    """Unless some are named."""
    assert [row[0] for row in fits_table((GIB, GIB)).rows] == [known.name for known in cards()]
    assert [row[0] for row in fits_table((GIB, GIB), ["H200", CARD]).rows] == ["H200", "ten"]


def test_the_table_says_what_is_left_or_missing() -> None:
    """In GiB, with the verdict."""
    assert fits_table((5 * GIB, 6 * GIB), [CARD]).rows == (("ten", "10 GiB", "fits", "3 GiB"),)
    assert fits_table((11 * GIB, 12 * GIB), [CARD]).rows == (("ten", "10 GiB", "does not fit", "3 GiB missing"),)


def test_the_larger_card_is_never_worse() -> None:
    """Going down the table, once it fits it fits on."""
    order = {"does not fit": 0, "tight": 1, "fits": 2}
    verdicts = [order[row[2]] for row in fits_table((20 * GIB, 22 * GIB)).rows]

    assert verdicts == sorted(verdicts)
    assert set(verdicts) == {0, 1, 2}


def test_the_table_is_called_an_estimate() -> None:
    """A predicted number says so."""
    assert "estimate" in fits_table((GIB, GIB)).title
