"""Estimates against peaks that others measured on real cards or recorded there; sources in ``benchmarks/measured``.

Nothing here was fitted to them. Allocated is a point and held within 1 %; reserved is a range and must hold what was measured.
"""

from __future__ import annotations

from functools import cache
from statistics import fmean

import pytest

import bigmodel_lab as lab
from benchmarks.measured import recorded, t4
from benchmarks.measured.asking import estimate
from benchmarks.measured.catalogue import catalogue
from benchmarks.measured.program import measured_peaks

PEAKS = measured_peaks()
REAL = tuple(program.name for program in t4.programs())
RECORDED = tuple(program.name for program in recorded.programs())


@cache
def estimated(name: str) -> lab.MemoryEstimate:
    """Of one program on its card, once."""
    found: lab.MemoryEstimate = estimate(catalogue()[name], PEAKS[name].card)
    return found


def error(name: str) -> float:
    """Of what is allocated, relative to what was measured."""
    return estimated(name).peak_allocated_bytes / PEAKS[name].allocated_bytes - 1


@pytest.mark.parametrize("name", [*REAL, *RECORDED])
def test_allocated_is_within_a_percent(name: str):
    """In every row."""
    assert abs(error(name)) <= 0.01


@pytest.mark.parametrize("name", [*REAL, *RECORDED])
def test_the_range_holds_what_was_reserved(name: str):
    """A peak above it would be a "fits" that runs out."""
    least, most = estimated(name).reserved_range

    assert least <= PEAKS[name].reserved_bytes <= most


def test_the_mean_error_is_below_four_tenths_of_a_percent():
    """Over the nine rows of the T4."""
    assert fmean(abs(error(name)) for name in REAL) <= 0.004
