"""The only place that reads and writes numbers with units.

``"16GB"`` is 16·10⁹ bytes and ``"16GiB"`` is 2³⁴, as IEC 80000-13 has it; a bare number
is refused, because nobody can know which of the two was meant.

>>> parse_bytes("16GB"), parse_bytes("16GiB")
(16000000000, 17179869184)
>>> format_bytes(1_610_612_736)
'1.5 GiB'
"""

from __future__ import annotations

import math
import re

from bigmodel_lab.errors import UnitError
from bigmodel_lab.i18n import text

_DECIMAL = {"B": 1, "kB": 10**3, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_BINARY = {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}
_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]+)\s*")
_BYTE_STEPS = ("B", "KiB", "MiB", "GiB", "TiB")
_UNKNOWN = "–"


def parse_bytes(size: str) -> int:
    """Bytes of a size with its unit: B, kB, MB, GB, TB (powers of 1000), KiB … TiB (of 1024).

    Args:
        size: For example ``"24GiB"``, ``"16 GB"``, ``"512MiB"``.

    Raises:
        UnitError: The size has no unit, an unknown one, or is not a number.

    >>> parse_bytes("1.5 KiB")
    1536
    """
    match = _SIZE.fullmatch(size) if isinstance(size, str) else None
    factor = {**_DECIMAL, **_BINARY}.get(match[2]) if match else None
    if match is None or factor is None:
        raise UnitError(
            text(
                "error.size_without_unit",
                "{size!r} is not a size with a unit. Write for example '16GiB' (16 × 2³⁰ bytes) "
                "or '16GB' (16 × 10⁹ bytes); allowed units: {units}.",
                size=size,
                units=", ".join([*_DECIMAL, *_BINARY]),
            )
        )
    return round(float(match[1]) * factor)


def format_bytes(count: float | None) -> str:
    """A number of bytes in powers of 1024, three significant digits; None is unknown.

    >>> format_bytes(0), format_bytes(1023), format_bytes(14.7 * 2**30), format_bytes(None)
    ('0 B', '1023 B', '14.7 GiB', '–')
    """
    if _missing(count):
        return _UNKNOWN
    assert count is not None
    power = 0
    while abs(count) >= 1024 and power < len(_BYTE_STEPS) - 1:
        count /= 1024
        power += 1
    return f"{_significant(count) if power else str(round(count))} {_BYTE_STEPS[power]}"


def format_bytes_as_torch(count: int) -> str:
    """A number of bytes as PyTorch writes it in its messages: two decimals, powers of 1024.

    Source: ``format_size`` in pytorch ``c10/cuda/CUDACachingAllocator.cpp``.

    >>> [format_bytes_as_torch(count) for count in (512, 20 * 2**20, 15_828_320_256)]
    ['512 bytes', '20.00 MiB', '14.74 GiB']
    """
    if count <= 1024:
        return f"{count} bytes"
    power = next((power for power in (1, 2) if count <= 1024 ** (power + 1)), 3)
    return f"{count / 1024**power:.2f} {_BYTE_STEPS[power]}"


def format_seconds(seconds: float | None) -> str:
    """A duration in the unit that a person would use; None is unknown.

    >>> [format_seconds(s) for s in (0.00035, 0.029, 4.2, 75, 3725, None)]
    ['350 µs', '29 ms', '4.2 s', '1 min 15 s', '1 h 2 min', '–']
    """
    if _missing(seconds):
        return _UNKNOWN
    assert seconds is not None
    if seconds < 0:
        return "-" + format_seconds(-seconds)
    if seconds < 1e-3:
        return f"{_significant(seconds * 1e6)} µs"
    if seconds < 0.9995:
        return f"{_significant(seconds * 1e3)} ms"
    if seconds < 59.95:
        return f"{_significant(seconds)} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def format_number(value: float | None) -> str:
    """A plain number with up to four significant digits, thousands grouped; None is unknown.

    >>> [format_number(v) for v in (2770634, 0.123456, 3.0, 1e-7, float("nan"))]
    ['2,770,634', '0.1235', '3', '1e-07', '–']
    """
    if value is None or math.isnan(value):
        return _UNKNOWN
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    if abs(value) >= 1000:
        return f"{round(value):,}"
    return f"{value:.4g}"


def format_value(value: float | None, unit: str) -> str:
    """A value in the unit of its metric, as every view shows it; None is unknown.

    Args:
        value: The value; None or NaN is shown as unknown.
        unit: ``"bytes"``, ``"seconds"``, ``"fraction"`` (0 … 1, shown in percent), ``"percent"``,
            ``"watts"``, ``"celsius"``, ``"joules"``, ``"megahertz"``, ``"samples/s"`` or ``""``.

    >>> format_value(0.934, "fraction"), format_value(87.0, "percent"), format_value(61, "celsius")
    ('93.4 %', '87 %', '61 °C')
    """
    if unit == "bytes":
        return format_bytes(value)
    if unit == "seconds":
        return format_seconds(value)
    if _missing(value):
        return _UNKNOWN
    assert value is not None
    if unit == "fraction":
        return f"{_significant(value * 100)} %"
    suffix = _SUFFIX.get(unit, unit)
    return f"{format_number(value)} {suffix}".rstrip()


_SUFFIX = {
    "percent": "%",
    "watts": "W",
    "celsius": "°C",
    "joules": "J",
    "megahertz": "MHz",
    "samples/s": "samples/s",
}


def _missing(value: float | None) -> bool:
    return value is None or not math.isfinite(value)


def _significant(value: float) -> str:
    """Three significant digits without an exponent, trailing zeros dropped."""
    if value == 0:
        return "0"
    decimals = max(0, 2 - math.floor(math.log10(abs(value))))
    shown = f"{value:.{decimals}f}"
    return shown.rstrip("0").rstrip(".") if "." in shown else shown
