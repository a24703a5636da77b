"""Mean and interval of repeated measurements, beside SciPy's."""

from __future__ import annotations

from math import isnan, sqrt

import pytest
from scipy.stats import t

from bigmodel_lab.training.intervals import mean_interval, student_quantile


@pytest.mark.parametrize("freedom", [*range(1, 31), 31, 40, 60, 120, 1000])
def test_the_quantile_is_that_of_student(freedom: int):
    """Table and expansion agree with SciPy to 0.001."""
    assert student_quantile(freedom) == pytest.approx(t.ppf(0.975, freedom), abs=0.001)


def test_the_interval_is_that_of_the_textbook():
    """Half of it is t times the standard deviation over the root of the count."""
    interval = mean_interval([1.0, 2.0, 3.0, 4.0])

    assert interval.mean == 2.5
    assert interval.half_width == pytest.approx(3.182 * sqrt(5 / 3) / 2)
    assert interval.count == 4


def test_a_single_value_has_no_interval():
    """One measurement says nothing about its spread."""
    assert isnan(mean_interval([0.5]).half_width)
