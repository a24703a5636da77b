"""Where an axis is marked: round values in the unit that a person reads."""

from __future__ import annotations

import math

from bigmodel_lab.units import format_number, format_value

_DECIMAL = (1.0, 2.0, 5.0, 10.0)
_SECONDS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400)


def ticks(low: float, high: float, most: int, unit: str = "") -> list[float]:
    """At most ``most`` + 1 round values from ``low`` to ``high``.

    Args:
        low: Lower end of the axis.
        high: Upper end, larger than ``low``.
        most: Intervals wanted at most.
        unit: Unit of the values: bytes are marked at powers of two, seconds at whole minutes and hours.

    >>> ticks(0, 1, 4), ticks(0, 3 * 2**30, 4, "bytes")[1] / 2**30, ticks(0, 400, 4, "seconds")
    ([0.0, 0.5, 1.0], 1.0, [0.0, 120.0, 240.0, 360.0])
    """
    step = _step((high - low) / max(1, most), unit)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [n * step for n in range(first, last + 1)]


def log_ticks(low: float, high: float, most: int) -> list[float]:
    """Powers of ten from ``low`` to ``high``, at most ``most`` + 1 of them.

    >>> log_ticks(0.02, 500, 4)
    [0.1, 1.0, 10.0, 100.0]
    """
    first, last = math.ceil(math.log10(low)), math.floor(math.log10(high))
    every = max(1, math.ceil((last - first) / max(1, most)))
    return [10.0**power for power in range(first, last + 1, every)]


def tick_label(value: float, unit: str) -> str:
    """A mark of an axis in words.

    >>> tick_label(0, "seconds"), tick_label(4000, "samples/s"), tick_label(0.5, "fraction")
    ('0 s', '4,000', '50 %')
    """
    if unit == "seconds" and value == 0:
        return "0 s"
    # The legend says what these are; beside the axis the words would have no room.
    return format_number(value) if unit == "samples/s" else format_value(value, unit)


def _step(least: float, unit: str) -> float:
    if unit == "bytes":
        return float(2 ** math.ceil(math.log2(max(least, 1.0))))
    if unit == "seconds" and least > 1:
        return float(next((s for s in _SECONDS if s >= least), math.ceil(least / 86400) * 86400))
    power = 10.0 ** math.floor(math.log10(least))
    return next(power * factor for factor in _DECIMAL if power * factor >= least * (1 - 1e-9))
