"""The arithmetic of the report, and that every miss is in it."""

from __future__ import annotations

import pytest

from benchmarks.gpu.report import Summary, is_miss, report, summary, table
from benchmarks.gpu.rows import Row
from tests.benchmarks.gpu.standins import estimate, row, truth


def found(rows: list[Row]) -> Summary:
    """The figures, which are there."""
    figures = summary(rows)
    assert figures is not None
    return figures


def test_the_error_is_relative_to_the_truth() -> None:
    """Too much is above 0."""
    assert estimate(1010).error(truth(1000)) == pytest.approx(0.01)
    assert estimate(950).error(truth(1000)) == pytest.approx(-0.05)


def test_median_percentile_and_maximum_are_of_the_absolute_error() -> None:
    """Of errors 0, 1, …, 20 ‰: the middle one, the 20th of 21, the last."""
    rows = [row(1000 + (-1) ** n * n) for n in range(21)]

    assert found(rows).error_median == pytest.approx(0.010)
    assert found(rows).error_95 == pytest.approx(0.019)
    assert found(rows).error_most == pytest.approx(0.020)
    assert found(rows).compared == 21


def test_one_case_is_its_own_percentile() -> None:
    """By nearest rank."""
    assert found([row(1030)]).error_95 == pytest.approx(0.03)


def test_the_share_inside_counts_both_ends_of_the_range() -> None:
    """1400 to 1600: the ends belong to it."""
    rows = [row(1000, reserved) for reserved in (1399, 1400, 1600, 1601)]

    assert found(rows).inside == 0.5


def test_the_width_is_half_the_range_over_its_middle() -> None:
    """1400 to 1600 is 1500 ± 6.67 %."""
    assert found([row(1000)]).half_width == pytest.approx(1 / 15)


def test_nothing_is_summed_up_where_nothing_can_be_compared() -> None:
    """Neither a measurement nor an estimate alone is a comparison."""
    assert summary([Row("a", truth=truth()), Row("b", estimate=estimate())]) is None


def test_a_case_from_an_unclean_card_is_left_out() -> None:
    """Its peak holds what others left."""
    assert summary([Row("a", truth=truth(leftover=512), estimate=estimate())]) is None


def test_what_is_promised_is_judged() -> None:
    """Exactly at the limits everything passes; beyond, each fails by itself."""
    good = Summary(10, 0.01, 0.03, 0.05, 0.95, 0.07)
    bad = Summary(10, 0.0101, 0.031, 0.051, 0.94, 0.071)

    assert [passed for passed, _ in good.verdicts()] == [True] * 5
    assert [passed for passed, _ in bad.verdicts()] == [False] * 5


def test_a_large_error_is_a_miss() -> None:
    """Above 5 %."""
    assert [is_miss(row(allocated)) for allocated in (1000, 1050, 1051, 949)] == [False, False, True, True]


def test_a_reserved_outside_its_range_is_a_miss() -> None:
    """However good the allocated is."""
    assert is_miss(row(1000, 1700))


def test_every_miss_is_named_with_its_place() -> None:
    """Where the peak was expected, and in which phase it was."""
    late = Row("late", truth=truth(1000, peaks=(10, 900, 1000)), estimate=estimate(1100))
    loading = Row("loading", truth=truth(1000, peaks=(1000, 1000, 1000)), estimate=estimate(1100))

    text = report([late, row(1000, name="good"), loading], "card")

    assert "2 misses:" in text
    assert "late: allocated +10.00 % (1,100 for 1,000)".replace(" %", "%") in text
    assert "expected at backward, step 2, at aten.mm, was in step 2" in text
    assert "was while loading" in text


def test_what_was_not_measured_is_listed_with_its_reason() -> None:
    """Out of time, out of memory, not clean, not estimated."""
    rows = [
        Row("slow", why_not="not begun: the time was up", no_estimate="also not"),
        Row("dirty", truth=truth(leftover=512), estimate=estimate()),
    ]
    text = report(rows, "card")

    assert "1 not measured:\n  slow: not begun: the time was up" in text
    assert "1 not clean, left out:\n  dirty: 512 B were left on the card" in text
    assert "1 not estimated:\n  slow: also not" in text


def test_the_report_begins_with_the_card_and_the_verdicts() -> None:
    """The figures that are promised come before the table."""
    lines = report([row(1000)], "NVIDIA H200, torch 2.11").splitlines()

    assert lines[0] == "NVIDIA H200, torch 2.11"
    assert lines[2] == "1 cases compared."
    assert lines[3].startswith("pass  median error 0.000%")


def test_without_a_comparison_the_report_says_so() -> None:
    """And still lists the cases."""
    text = report([Row("a", truth=truth())], "card")

    assert "Nothing to compare" in text
    assert text.splitlines()[-1].startswith("a ")


def test_the_table_marks_what_lies_outside_its_range() -> None:
    """With an exclamation mark behind the reserved."""
    inside, outside = table([row(1000, 1500), row(1000, 1700)])[1:]

    assert "!" not in inside
    assert "1.66 KiB!" in outside


def test_columns_stand_below_each_other() -> None:
    """Names of any length."""
    head, *lines = table([row(1000, name="a"), row(1000, name="a much longer name")])

    assert len({line.index("1.37 KiB") for line in lines}) == 1
    assert head.startswith("case ")
