"""What repeated measurements come to: their mean, and how far it may lie off."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import nan, sqrt
from statistics import fmean, stdev

_NORMAL = 1.959964  # 97.5 % of the normal distribution lies below
# the same of Student's t distribution with 1, 2, 3 … degrees of freedom (Student 1908; any table of t)
_STUDENT = (
    *(12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228),
    *(2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086),
    *(2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042),
)


@dataclass(frozen=True)
class MeanInterval:
    """Mean of some values, with its 95 % confidence interval."""

    mean: float
    """Of all values."""
    half_width: float
    """The interval is mean ± this; NaN for a single value."""
    count: int
    """Number of values."""


def mean_interval(values: Sequence[float]) -> MeanInterval:
    """Mean and 95 % interval after Student's t distribution.

    It holds for independent values that are spread normally. Folds share training samples, seeds share the data:
    then it is a rough guide, as a rule too narrow (Y. Bengio and Y. Grandvalet 2004, No unbiased estimator of the
    variance of k-fold cross-validation).

    Args:
        values: At least one.

    >>> interval = mean_interval([0.90, 0.92, 0.94])
    >>> round(interval.mean, 2), round(interval.half_width, 3)
    (0.92, 0.05)
    """
    count = len(values)
    if count == 1:
        return MeanInterval(values[0], nan, 1)
    return MeanInterval(fmean(values), student_quantile(count - 1) * stdev(values) / sqrt(count), count)


def student_quantile(freedom: int) -> float:
    """97.5 % quantile of Student's t distribution, right to 0.001.

    Args:
        freedom: Degrees of freedom, from 1.

    >>> student_quantile(4), round(student_quantile(100), 3)
    (2.776, 1.984)
    """
    if freedom <= len(_STUDENT):
        return _STUDENT[freedom - 1]
    z = _NORMAL  # the first three terms of its expansion for many degrees of freedom (Fisher 1925)
    return z + (z**3 + z) / (4 * freedom) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)
