"""Reads and writes the text form of the allocator's settings, as ``c10/core/AllocatorConfig.cpp`` does."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NoReturn

from bigmodel_lab.errors import ConfigError
from bigmodel_lab.i18n import text

INTERVALS = 16
"""Sizes with rounding steps of their own: 1 MiB, 2 MiB … 32 GiB."""
NONE = (0,) * INTERVALS
"""No rounding between powers of two."""
_PAIR = re.compile(r"([^,:\[\]]+):(\[[^\[\]]*\]|[^,:\[\]]+)")


def pairs(conf: str) -> Iterator[tuple[str, str]]:
    """Names and values of ``name:value,name:[a:b,c:d]``, blanks left out.

    Args:
        conf: Value of PYTORCH_ALLOC_CONF.

    Raises:
        ConfigError: It is not of that form.
    """
    rest = "".join(conf.split())
    while rest:
        match = _PAIR.match(rest)
        if match is None or rest[match.end() : match.end() + 1] not in ("", ","):
            raise ConfigError(
                text(
                    "allocator.conf_form",
                    "{conf!r} cannot be read from {rest!r} on. Write name:value pairs with commas between them, "
                    "e.g. 'max_split_size_mb:128,expandable_segments:True'.",
                    conf=conf,
                    rest=rest,
                )
            )
        yield match[1], match[2]
        rest = rest[match.end() + 1 :]


def refuse(name: str, value: object, allowed: object) -> NoReturn:
    """Say which setting cannot be used, and what is allowed.

    Raises:
        ConfigError: Always.
    """
    raise ConfigError(
        text(
            "allocator.setting",
            "The allocator setting {name} cannot be {value}. Allowed: {allowed}.",
            name=name,
            value=value,
            allowed=allowed,
        )
    )


def read_whole(name: str, written: str) -> int:
    """A whole number."""
    if not written.isascii() or not written.isdigit():
        refuse(name, repr(written), text("allocator.allowed.whole", "a whole number"))
    return int(written)


def read_share(name: str, written: str) -> float:
    """A number with or without decimals."""
    try:
        return float(written)
    except ValueError:
        refuse(name, repr(written), text("allocator.allowed.share", "a number between 0 and 1"))


def read_switch(name: str, written: str) -> bool:
    """``True`` or ``False``."""
    if written not in ("True", "False"):
        refuse(name, repr(written), text("allocator.allowed.switch", "True or False"))
    return written == "True"


def read_divisions(name: str, written: str) -> tuple[int, ...]:
    """Steps between powers of two for the 16 sizes, from one number or from a list ``[256:1,512:2,>:8]``.

    Source: ``AcceleratorAllocatorConfig::parseRoundUpPower2Divisions``: a list names sizes in MiB, the first one
    also holds for what is smaller, ``>`` for what is larger than the last.
    """
    if not written.startswith("["):
        return (_power_of_two(name, written),) * INTERVALS
    divisions = list(NONE)
    last: int | None = None
    for entry in written[1:-1].split(","):
        size, _, steps = entry.partition(":")
        value = 0 if steps == "0" else _power_of_two(name, steps)
        if size == ">":
            divisions[(last or 0) + 1 :] = [value] * (INTERVALS - 1 - (last or 0))
            continue
        index = min(_power_of_two(name, size).bit_length(), INTERVALS) - 1
        divisions[0 if last is None else index : index + 1] = [value] * (index + 1 if last is None else 1)
        last = index
    return tuple(divisions)


def written_divisions(divisions: tuple[int, ...]) -> str:
    """As :func:`read_divisions` reads it."""
    return "[" + ",".join(f"{1 << index}:{steps}" for index, steps in enumerate(divisions)) + "]"


def _power_of_two(name: str, written: str) -> int:
    value = int(written) if written.isascii() and written.isdigit() else 0
    if value < 1 or value & (value - 1):
        refuse(name, repr(written), text("allocator.allowed.divisions", "powers of two, as 4 or [256:1,512:2,>:8]"))
    return value
