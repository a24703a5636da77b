"""What a search has shown, in words and as a table."""

from __future__ import annotations

from typing import Any

import pytest

from bigmodel_lab.tips._finder import Attempt, Found, Kind, Measured
from bigmodel_lab.tips._found_batch_size import FoundBatchSize

MIB = 2**20


def attempt(kind: Kind, size: int, peak_mib: int | None, seconds: float | None = None, retries: int = 0) -> Attempt:
    """None of memory did not suffice."""
    measured = None if peak_mib is None else Measured((peak_mib * MIB,), 0, seconds, retries)
    return Attempt(kind, size, measured)


def found(*attempts: Attempt, at_most: int = 1000, **changes: Any) -> FoundBatchSize:
    """On a card with 100 MiB."""
    given = {"model": "mlp", "device": "T4", "capacity_bytes": 100 * MIB, "simulated": False, **changes}
    return FoundBatchSize(Found(attempts, at_most), **given)


USUAL = found(attempt("probe", 8, 10, 0.01), attempt("probe", 60, 50, 0.02), attempt("trial", 110, 95, 0.05))


def test_the_largest_is_what_ran() -> None:
    """The last of three sizes."""
    assert (USUAL.largest, len(USUAL.attempts)) == (110, 3)


def test_the_recommended_one_has_the_throughput_of_the_best() -> None:
    """3,000 samples a second are more than 2,200."""
    assert USUAL.recommended == 60


def test_the_table_has_a_row_for_each_size() -> None:
    """What it was for, peak, share, time, throughput, result."""
    assert [row[:4] for row in USUAL.table.rows] == [
        ("probe", "8", "10 MiB", "10.0%"),
        ("probe", "60", "50 MiB", "50.0%"),
        ("trial", "110", "95 MiB", "95.0%"),
    ]


def test_the_recommended_row_says_so() -> None:
    """And only that."""
    assert [row[-1] for row in USUAL.table.rows] == ["ran", "ran, recommended", "ran"]


def test_a_size_that_did_not_fit_has_no_figures() -> None:
    """They are unknown, not 0."""
    row = found(attempt("trial", 200, None)).table.rows[0]

    assert row == ("trial", "200", "–", "–", "–", "–", "out of memory")


def test_a_size_that_ran_only_by_luck_says_so() -> None:
    """The allocator had to give back its cache."""
    row = found(attempt("trial", 100, 90), attempt("trial", 110, 99, retries=2)).table.rows[1]

    assert row[-1] == "ran after giving back its cache, not counted"


def test_a_size_that_was_timed_says_so() -> None:
    """It was not run to be the largest."""
    assert found(attempt("trial", 100, 90, 1.0), attempt("timing", 50, 50, 0.9)).table.rows[1][0] == "timing"


def test_the_title_says_what_is_simulated() -> None:
    """Wherever a number appears."""
    assert "on a simulated T4" in str(found(attempt("trial", 100, 90), simulated=True))
    assert "simulated" not in str(USUAL)


def test_memory_is_the_reason() -> None:
    """With the figures of the largest size."""
    assert "110 samples took 95 MiB of 100 MiB" in USUAL.reason


def test_the_knee_is_a_reason() -> None:
    """Where it is smaller than the largest."""
    assert "A micro-batch of 60 has the same throughput to 5 % and leaves memory free." in USUAL.reason
    assert "throughput" not in found(attempt("trial", 100, 90)).reason


def test_the_largest_allowed_is_the_reason() -> None:
    """Memory is not."""
    assert found(attempt("trial", 50, 40), at_most=50).reason.startswith("50 is the largest size that was to be tried")


def test_nothing_that_runs_is_explained() -> None:
    """With what helps."""
    nothing = found(attempt("probe", 8, None), attempt("probe", 1, None))

    assert (nothing.largest, nothing.recommended) == (0, 0)
    assert nothing.reason.startswith("Not even a micro-batch of 1 runs in 100 MiB. What helps: lab.advise")


def test_a_card_full_of_others_is_explained() -> None:
    """Nothing was tried."""
    assert found(capacity_bytes=0).reason.startswith("Nothing was tried: other processes hold so much of the card")


def test_sizes_that_failed_are_explained() -> None:
    """How many of how many."""
    mended = found(attempt("trial", 200, None), attempt("trial", 25, 20), attempt("trial", 110, 96))

    assert "1 of 3 sizes did not run" in mended.reason


def test_notes_are_told() -> None:
    """What could not be done as usual."""
    assert found(attempt("trial", 100, 90), notes=("No estimate was possible.",)).reason.endswith(
        "No estimate was possible."
    )


def test_printed_it_is_the_table_and_the_reason() -> None:
    """In this order."""
    assert str(USUAL) == f"{USUAL.table.text()}\n{USUAL.reason}"


def test_shown_it_is_one_line() -> None:
    """In a list, for instance."""
    assert repr(USUAL) == "<FoundBatchSize mlp: largest 110, recommended 60, 3 sizes tried>"


@pytest.mark.parametrize("word", ["<table", "110 samples took"])
def test_a_notebook_shows_both(word: str) -> None:
    """As HTML."""
    assert word in USUAL._repr_html_()


def test_names_are_escaped_in_a_notebook() -> None:
    """A model may be called anything."""
    assert "<script>" not in found(attempt("trial", 1, 1), model="<script>", notes=("<script>",))._repr_html_()
