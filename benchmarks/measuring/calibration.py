"""A fixed piece of plain Python whose time says how fast a machine is just now."""

from __future__ import annotations

import time

_TURNS = 200_000
_MASK = 2**31 - 1


def loop(turns: int = _TURNS) -> int:
    """Integers, a list and a dictionary, as tracing and replaying use them; the result keeps it from being left out.

    Never change it: times of other days are compared through it.

    >>> loop(1_000)
    1628404537
    """
    seen: dict[int, int] = {}
    stack: list[int] = []
    value = 1
    for turn in range(turns):
        value = (value * 1_103_515_245 + 12_345) & _MASK
        seen[value % 4_096] = turn
        stack.append(value)
        if len(stack) > 512:
            value ^= stack.pop() ^ stack.pop()
    return value ^ len(seen)


def calibration_seconds(rounds: int = 5) -> float:
    """The best time of the loop, in seconds.

    Args:
        rounds: Times that it runs, from 1.
    """
    times = []
    for _ in range(rounds):
        begun = time.perf_counter()
        loop()
        times.append(time.perf_counter() - begun)
    return min(times)
