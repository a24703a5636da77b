"""How far a line through measured peaks can be trusted: sizes that run for sure, by what is known so far.

Two upper bounds, and the better one counts. *From what is held*: the memory of no samples is at least what stays when
the batch is gone, so the steepest line through it and a measured peak lies above every larger size, also where peaks
were flat at first because the optimizer, not the batch, made them. *From small to large*: where the peaks between
lie on the line through the smallest and the largest size, the line goes on, at most as far off as peaks jitter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

_LEAST_JITTER = 0.002
"""Share of a peak by which steps are taken to differ, also where they were not seen to."""
_UNSEEN = 3.5
"""Of n deviations from the mean, the largest is taken to fall short of the largest of all by this over n."""
_SURE = 2.8
"""Of a mean over n steps, in standard deviations of evenly spread ones: 95 in 100 means lie nearer."""


@dataclass(frozen=True)
class Reading:
    """Peaks of one size."""

    size: int
    """Samples."""
    peaks_bytes: tuple[int, ...]
    """Of each step."""

    @property
    def mean(self) -> float:
        """Over the steps, bytes."""
        return sum(self.peaks_bytes) / len(self.peaks_bytes)

    def high(self, jitter: float) -> float:
        """The highest that the mean of many steps may be, where a step is off by a share of ``jitter`` at most."""
        return self.mean * (1 + self._error(jitter))

    def low(self, jitter: float) -> float:
        """The lowest that it may be."""
        return self.mean * (1 - self._error(jitter))

    def _error(self, jitter: float) -> float:
        return jitter * min(1.0, _SURE / sqrt(3 * len(self.peaks_bytes)))


def jitter_of(readings: Sequence[Reading]) -> float:
    """Share of a peak by which a step may lie above the mean of all steps of its size.

    >>> jitter_of([Reading(8, (1000, 1000))]), jitter_of([Reading(8, (1000, 1020))]) > 0.01
    (0.002, True)
    """
    seen = [abs(p / r.mean - 1) for r in readings for p in r.peaks_bytes if len(r.peaks_bytes) > 1]
    return max(_LEAST_JITTER, max(seen, default=0.0) * (1 + _UNSEEN / max(1, len(seen))))


def jitters(readings: Sequence[Reading]) -> bool:
    """Steps of one size were seen to differ by what counts."""
    return any(max(r.peaks_bytes) - min(r.peaks_bytes) > _LEAST_JITTER / 2 * r.mean for r in readings)


def largest_within(readings: Sequence[Reading], capacity_bytes: int, held_bytes: int, grain_bytes: int = 0) -> int:
    """The largest size whose steps run in this memory for sure.

    Args:
        readings: At least one, the smallest size first.
        capacity_bytes: What a step may take.
        held_bytes: What stays when the batch is gone.
        grain_bytes: Memory comes in pieces: a peak may be so much above what a line through others says, or below.

    >>> largest_within([Reading(10, (1_100, 1_100))], 11_000, 1_000) > 900
    True
    """
    jitter = jitter_of(readings)
    usable = capacity_bytes / (1 + jitter) - grain_bytes
    limit = _from_held(readings[-1], usable, held_bytes, jitter)
    if len(readings) > 2 and _is_line(readings, jitter):
        limit = max(limit, _from_small(readings[0], readings[-1], usable, jitter, grain_bytes))
    return int(limit)


def _from_held(last: Reading, usable: float, held: float, jitter: float) -> float:
    """On the line through (0 samples, held) and the highest that the last peak may be."""
    peak = last.mean * (1 + jitter)
    if peak <= held:
        return 2 * last.size  # nothing that grows was seen
    return last.size * (usable - held) / (peak - held)


def _from_small(first: Reading, last: Reading, usable: float, jitter: float, grain: float) -> float:
    """On the steepest line that the two peaks allow."""
    low, high = first.low(jitter) - grain, last.high(jitter)
    return last.size + (usable - high) * (last.size - first.size) / (high - low)


def _is_line(readings: Sequence[Reading], jitter: float) -> bool:
    """No peak between lies below the line from the first to the last, beyond what jitter explains."""
    first, last = readings[0], readings[-1]
    slope = (last.mean - first.mean) / (last.size - first.size)
    return slope > 0 and all(r.high(2 * jitter) >= first.mean + slope * (r.size - first.size) for r in readings[1:-1])
