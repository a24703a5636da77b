"""The contract of a chart: what to draw, as data. Drawing happens elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bigmodel_lab.i18n import Text


@dataclass(frozen=True)
class Line:
    """One line of a chart."""

    metric: str
    """Metric key of the values."""
    color: int
    """Index into the palette of every renderer (0 … 5), so that a metric keeps its colour."""
    dashed: bool = False
    """Drawn dashed, for limits and totals."""
    points: bool = False
    """Also marked at each value, for sparse series such as once-an-epoch values."""


@dataclass(frozen=True)
class Chart:
    """One chart of the dashboard."""

    title: Text
    """Heading."""
    unit: str
    """Unit of the vertical axis, as :func:`bigmodel_lab.units.format_value` takes it."""
    x: Literal["step", "time"]
    """Horizontal axis: the optimizer step, or seconds since the run began."""
    lines: tuple[Line, ...]
    """What to draw, first line in front."""
    order: int
    """Position in the dashboard, low first."""
    from_zero: bool = False
    """The vertical axis always starts at 0."""
    maximum: float | None = None
    """The vertical axis always reaches this value; None lets it follow the data."""
    logarithmic: bool = False
    """The vertical axis may be switched to powers of ten (for losses)."""
