"""The largest micro-batch that runs on a card, from few traces."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from bigmodel_lab.estimate._plan import Plan
from bigmodel_lab.estimate._scaling import ScalingTrace
from bigmodel_lab.memory.allocator import CachingAllocator
from bigmodel_lab.memory.replay import replay
from bigmodel_lab.memory.requests import RequestTrace
from bigmodel_lab.memory.settings import AllocatorSettings

_MARGIN = 0.01
"""Share of the card left free, for what no trace can know; never to promise a batch that does not run."""
_SIZES = (4, 16, 64)
"""Where a line is looked for, between a size and its double; small sizes may go another way than those that fill a card."""
_LARGEST = 2**24
"""More samples than that are never tried."""


def largest_that_fits(plan: Plan, usable_bytes: int, settings: AllocatorSettings) -> int:
    """The largest micro-batch size whose trace runs in this memory; 0 where none does.

    Two traces give a line for every request; the answer on it is traced itself, and goes on from
    there where the program takes another way at that size.

    Args:
        plan: With any micro-batch size.
        usable_bytes: What the allocator can get from the driver.
        settings: Of the allocator.
    """

    def fits(trace: RequestTrace) -> bool:
        return runs_in(trace, usable_bytes, settings)

    def traced(size: int) -> RequestTrace:
        return replace(plan, micro_batch_size=size).trace()

    lines = (ScalingTrace.between(traced(size), size, traced(2 * size), 2 * size) for size in _SIZES)
    line = next((line for line in lines if line is not None), None)
    guess = 1 if line is None else _largest(lambda size: fits(line.at(size)), 1)
    return _confirmed(lambda size: fits(traced(size)), guess)


def runs_in(trace: RequestTrace, usable_bytes: int, settings: AllocatorSettings) -> bool:
    """A trace runs through in this memory, with a little left over.

    Args:
        trace: Of a step.
        usable_bytes: What the allocator can get from the driver.
        settings: Of the allocator.
    """
    capacity = int(usable_bytes * (1 - _MARGIN))
    return replay(trace, CachingAllocator(settings, capacity_bytes=capacity)).stopped_at is None


def _confirmed(runs: Callable[[int], bool], guess: int) -> int:
    """The guess where it runs and the next does not; searched anew around it otherwise."""
    if guess and runs(guess):
        return guess if not runs(guess + 1) else _largest(runs, guess + 1)
    return _between(runs, 0, max(1, guess))


def _largest(runs: Callable[[int], bool], start: int) -> int:
    """The largest size that runs, when sizes up to there do; start - 1 where the start does not."""
    if not runs(start):
        return start - 1
    good = start
    while good < _LARGEST and runs(good * 2):
        good *= 2
    return _between(runs, good, good * 2)


def _between(runs: Callable[[int], bool], good: int, bad: int) -> int:
    """By halves: the largest size that runs, between one that does (or 0) and one that does not."""
    while bad - good > 1:
        middle = (good + bad) // 2
        good, bad = (middle, bad) if runs(middle) else (good, middle)
    return good
