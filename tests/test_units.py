"""Numbers with units: reading sizes, and showing values as every view shows them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigmodel_lab.errors import ConfigError, UnitError
from bigmodel_lab.metrics import known
from bigmodel_lab.units import (
    format_bytes,
    format_bytes_as_torch,
    format_number,
    format_seconds,
    format_value,
    parse_bytes,
)

FACTORS = {
    "B": 1,
    "kB": 10**3,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
    "KiB": 2**10,
    "MiB": 2**20,
    "GiB": 2**30,
    "TiB": 2**40,
}
UNKNOWN = "–"


@pytest.mark.parametrize(("unit", "factor"), FACTORS.items())
def test_every_size_unit_has_its_factor(unit: str, factor: int):
    """GB counts in thousands and GiB in 1024s."""
    assert parse_bytes(f"16{unit}") == 16 * factor


@given(st.integers(0, 10**6), st.sampled_from(sorted(FACTORS)), st.sampled_from(["", " ", "  "]))
def test_blanks_around_a_size_do_not_matter(count: int, unit: str, blank: str):
    """A size reads the same however it is spaced."""
    assert parse_bytes(f"{blank}{count}{blank}{unit}{blank}") == count * FACTORS[unit]


def test_a_fraction_of_a_unit_is_rounded_to_whole_bytes():
    """Sizes are whole bytes."""
    assert parse_bytes("1.5GiB") == 1_610_612_736
    assert isinstance(parse_bytes("0.3kB"), int)


@pytest.mark.parametrize("size", ["16", "", "GB", "16 gigabytes", "16gb", "-1GB", "1e3MB", "1,5GiB", "16GB/s"])
def test_a_size_that_could_be_misread_is_refused(size: str):
    """A bare number and an unknown unit are refused with the value and the units that are allowed."""
    with pytest.raises(UnitError, match=f"^{re.escape(repr(size))} is not a size") as caught:
        parse_bytes(size)
    assert "GiB" in str(caught.value)


@pytest.mark.parametrize("size", [16, 16.0, None, ["16GB"]])
def test_a_number_without_a_unit_is_refused(size: object):
    """A number is not a size: nobody can know in which unit it is."""
    with pytest.raises(UnitError):
        parse_bytes(size)  # type: ignore[arg-type]


def test_a_wrong_size_is_caught_as_a_wrong_setting():
    """Code that catches ConfigError or ValueError also catches a size without a unit."""
    assert issubclass(UnitError, ConfigError)
    assert issubclass(UnitError, ValueError)


@given(st.integers(0, 2**44))
def test_a_shown_size_reads_back_within_its_three_digits(count: int):
    """Showing and reading a size lose no more than the digits that are not shown."""
    assert parse_bytes(format_bytes(count)) == pytest.approx(count, rel=5.1e-3)


@pytest.mark.parametrize(
    ("count", "shown"),
    [
        (0, "0 B"),
        (1, "1 B"),
        (1023, "1023 B"),
        (1024, "1 KiB"),
        (2**30, "1 GiB"),
        (2**50, "1024 TiB"),
        (-2048, "-2 KiB"),
    ],
)
def test_sizes_are_shown_in_powers_of_1024(count: int, shown: str):
    """Each size is shown in the largest unit that leaves at least 1."""
    assert format_bytes(count) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0.0, "0 µs"),
        (5e-6, "5 µs"),
        (0.00035, "350 µs"),
        (0.001, "1 ms"),
        (0.9994, "999 ms"),
        (0.99951, "1 s"),
        (59.94, "59.9 s"),
        (59.96, "1 min 0 s"),
        (3599.4, "59 min 59 s"),
        (3600, "1 h 0 min"),
        (90_000, "25 h 0 min"),
        (-75, "-1 min 15 s"),
    ],
)
def test_durations_use_the_unit_a_person_would(seconds: float, shown: str):
    """A duration never shows 1000 ms or 60 s."""
    assert format_seconds(seconds) == shown


@given(st.floats(0, 1e7))
def test_no_duration_shows_a_full_next_unit(seconds: float):
    """Rounding never leads to 1000 µs, 1000 ms, 60 s or 60 min."""
    assert not re.search(r"\b(1000 (µs|ms)|60(\.0)? s|60 min)", format_seconds(seconds))


@pytest.mark.parametrize("unit", sorted({metric.unit for metric in known()}))
@pytest.mark.parametrize("value", [None, float("nan")])
def test_unknown_is_a_dash_in_every_unit(value: float | None, unit: str):
    """What is not known is never shown as 0."""
    assert format_value(value, unit) == UNKNOWN


@pytest.mark.parametrize(
    ("value", "unit", "shown"),
    [
        (0.5, "fraction", "50 %"),
        (1.0, "fraction", "100 %"),
        (0.0, "fraction", "0 %"),
        (87.4, "percent", "87.4 %"),
        (0.0, "percent", "0 %"),
        (301.25, "watts", "301.2 W"),
        (61, "celsius", "61 °C"),
        (12_345.6, "joules", "12,346 J"),
        (1980, "megahertz", "1,980 MHz"),
        (1_500_000, "samples/s", "1,500,000 samples/s"),
        (2**31, "bytes", "2 GiB"),
        (0.029, "seconds", "29 ms"),
        (0.25, "", "0.25"),
        (3, "apples", "3 apples"),
    ],
)
def test_values_are_shown_in_the_unit_of_their_metric(value: float, unit: str, shown: str):
    """A view needs only value and unit to show a number."""
    assert format_value(value, unit) == shown


def test_an_infinite_number_is_shown_as_such():
    """A loss that ran away is not hidden."""
    assert (format_number(float("inf")), format_number(float("-inf"))) == ("∞", "-∞")


@given(st.floats(allow_nan=False, allow_infinity=False, width=32))
def test_a_plain_number_never_loses_its_size(value: float):
    """Four digits are shown, whatever the size of the number."""
    assert float(format_number(value).replace(",", "")) == pytest.approx(value, rel=6e-4)


def test_torch_writes_sizes_with_two_decimals():
    """Up to a unit's own limit included, and GiB is the largest."""
    counts = (0, 1024, 1025, 2**20, 2**20 + 1, 2**30, 2**30 + 2**29, 2**41)
    assert [format_bytes_as_torch(count) for count in counts] == [
        "0 bytes",
        "1024 bytes",
        "1.00 KiB",
        "1024.00 KiB",
        "1.00 MiB",
        "1024.00 MiB",
        "1.50 GiB",
        "2048.00 GiB",
    ]
