"""From values to pixels."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Box:
    """The drawing area of a chart, in pixels."""

    left: float
    """Left edge."""
    top: float
    """Upper edge."""
    width: float
    """Width."""
    height: float
    """Height."""


@dataclass(frozen=True)
class Scale:
    """One axis; values beyond its ends are drawn at the ends.

    >>> Scale(0, 10, 100, 200)(5), Scale(1, 100, 0, 50, logarithmic=True)(10)
    (150.0, 25.0)
    """

    low: float
    """Value at ``start``."""
    high: float
    """Value at ``stop``."""
    start: float
    """Pixel of the lower end."""
    stop: float
    """Pixel of the upper end."""
    logarithmic: bool = False
    """Equal ratios are equally far apart; values are positive."""

    def __call__(self, value: float) -> float:
        """Pixel of a value."""
        low, high, at = (math.log10(max(v, 1e-300)) if self.logarithmic else v for v in (self.low, self.high, value))
        share = (at - low) / (high - low)
        return self.start + min(1.0, max(0.0, share)) * (self.stop - self.start)
