"""What interleaved pairs of blocks say, and how surely."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_RESAMPLES = 4000


@dataclass(frozen=True)
class Cost:
    """What one block cost a step; the reading of the kernel's outside included."""

    wall_us: float
    """Microseconds of the clock on the wall."""
    thread_us: float
    """Microseconds of CPU of the thread that trains."""
    process_us: float
    """Microseconds of CPU of the whole process."""
    bytes: float
    """Bytes that reached the front end."""
    frames: int
    """Messages of our own widget during the whole block."""


@dataclass(frozen=True)
class Pair:
    """Two blocks, one right after the other."""

    base: Cost
    """The loop that is compared with."""
    tool: Cost
    """The loop under test."""


@dataclass(frozen=True)
class Comparison:
    """Medians over the pairs; intervals are 95 % bootstrap intervals of the median."""

    pairs: int
    """Number of pairs."""
    base_us: float
    """A step of the base, microseconds of the wall clock."""
    ratio: float
    """Tool over base, wall clock, paired."""
    ratio_low: float
    """Lower end of its interval."""
    ratio_high: float
    """Upper end of its interval."""
    ratio_least: float
    """Smallest of the pairs."""
    ratio_most: float
    """Largest of the pairs."""
    cpu_ratio: float
    """Tool over base, CPU of the training thread, paired."""
    cpu_ratio_low: float
    """Lower end of its interval."""
    cpu_ratio_high: float
    """Upper end of its interval."""
    added_wall_us: float
    """Added to each step, wall clock."""
    added_cpu_us: float
    """Added to each step, CPU of the training thread."""
    added_process_us: float
    """Added to each step, CPU of the whole process."""
    bytes: float
    """Bytes of the tool that reached the front end, a step."""
    frames: int
    """Messages of our own widget in all blocks of the tool."""


def compare(pairs: Sequence[Pair]) -> Comparison:
    """The pairs in a few numbers."""
    ratios = _each(pairs, lambda p: p.tool.wall_us / p.base.wall_us)
    cpu = _each(pairs, lambda p: p.tool.thread_us / p.base.thread_us)
    low, high = interval(ratios)
    cpu_low, cpu_high = interval(cpu)
    return Comparison(
        pairs=len(pairs),
        base_us=float(np.median([p.base.wall_us for p in pairs])),
        ratio=float(np.median(ratios)),
        ratio_low=low,
        ratio_high=high,
        ratio_least=float(ratios.min()),
        ratio_most=float(ratios.max()),
        cpu_ratio=float(np.median(cpu)),
        cpu_ratio_low=cpu_low,
        cpu_ratio_high=cpu_high,
        added_wall_us=float(np.median(_each(pairs, lambda p: p.tool.wall_us - p.base.wall_us))),
        added_cpu_us=float(np.median(_each(pairs, lambda p: p.tool.thread_us - p.base.thread_us))),
        added_process_us=float(np.median(_each(pairs, lambda p: p.tool.process_us - p.base.process_us))),
        bytes=float(np.median([p.tool.bytes for p in pairs])),
        frames=sum(p.tool.frames for p in pairs),
    )


def interval(values: NDArray[np.float64]) -> tuple[float, float]:
    """95 % bootstrap interval of the median; the same for the same values.

    >>> interval(np.ones(9))
    (1.0, 1.0)
    """
    drawn = np.random.default_rng(0).choice(values, size=(_RESAMPLES, len(values)))
    low, high = np.percentile(np.median(drawn, axis=1), [2.5, 97.5])
    return float(low), float(high)


def _each(pairs: Sequence[Pair], value: Callable[[Pair], float]) -> NDArray[np.float64]:
    return np.array([value(pair) for pair in pairs])
