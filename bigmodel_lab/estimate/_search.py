"""The largest micro-batch that surely runs on a card, from few traces."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import starmap
from typing import TypeAlias

from bigmodel_lab.estimate._plan import Plan
from bigmodel_lab.estimate._range import may_stay_within, stays_within
from bigmodel_lab.estimate._scaling import ScalingTrace
from bigmodel_lab.memory.requests import Allocation, RequestTrace
from bigmodel_lab.memory.settings import AllocatorSettings

Report: TypeAlias = Callable[[int, int, int], None]
"""Hears that a size is about to be traced: (samples, which trace it is, from 1, of about how many)."""
_SIZES = ((4, 16), (16, 32), (64, 128))
"""Where a line is looked for when nothing is known; small sizes may go another way than those that fill a card."""
_FURTHER = 4
"""Where nothing seems to grow, so many times as many samples are looked at."""
_NEAR = 7 / 8
"""A line near the answer is drawn through a size and this share of it."""
_REDRAWN = 2
"""So many times a line that does not foretell its own answer is drawn anew there."""
_GROWS = frozenset(("input", "activation", "temporary"))
"""What there is for every sample, as a rule."""
_LARGEST = 2**24
"""More samples than that are never tried."""


def unheard(_size: int, _number: int, _about: int) -> None:
    """Nobody wants to know how far the search is."""


def largest_that_fits(
    plan: Plan,
    usable_bytes: int,
    settings: AllocatorSettings,
    *,
    known: RequestTrace | None = None,
    report: Report = unheard,
) -> int:
    """The largest micro-batch size whose reserved memory is within this room at the upper end of its range; 0 where none is.

    Two traces give a line for every request; where one is known, the other is made near the answer, as kernels take buffers
    there that small sizes do without. The answer on the line is confirmed by a trace of its own first step: where that asks
    for what the line says, the second step does, too. Elsewhere the program takes another way at that size: a line is drawn
    through it, and in the end it is traced size by size from there on.

    Args:
        plan: With any micro-batch size.
        usable_bytes: What the allocator can get from the driver.
        settings: Of the allocator.
        known: The trace of the plan, where it was made already; saves one.
        report: Hears of every trace before it is made.
    """
    return _Search(plan, usable_bytes, settings, known, report).largest()


class _Search:
    """The traces of one search; no size is traced twice."""

    def __init__(
        self, plan: Plan, usable_bytes: int, settings: AllocatorSettings, known: RequestTrace | None, report: Report
    ) -> None:
        self._plan, self._usable, self._settings, self._report = plan, usable_bytes, settings, report
        self._traced = {} if known is None else {plan.micro_batch_size: known}
        self._number, self._about = 0, 2 if known is not None else 3

    def largest(self) -> int:
        line = next(self._lines(), None)
        guess = 1 if line is None else self._on(line)
        for redrawn in range(_REDRAWN + 1):
            if line is None:
                break
            if not guess or line.foretells(self._first_step(guess), guess):
                return guess
            line = self._near(guess) if redrawn < _REDRAWN else None
            guess = guess if line is None else self._on(line)
        return _confirmed(self._runs, max(1, guess))

    def _lines(self) -> Iterator[ScalingTrace]:
        """Through two sizes each, until one is wanted no more."""
        yield from filter(None, starmap(self._line, self._pairs()))

    def _pairs(self) -> Iterator[tuple[int, int]]:
        own = self._plan.micro_batch_size
        if own in self._traced:
            about = _expected(self._traced[own], own, self._usable)
            yield own, about if about != own else 2 * own
            if about > 1:
                yield int(about * _NEAR), about
        yield from _SIZES

    def _near(self, size: int) -> ScalingTrace | None:
        """Through this size and another near it: one that was traced already, else one a little smaller."""
        others = [other for other in self._traced if other != size and size / 2 < other < 2 * size]
        other = min(others, key=lambda one: abs(one - size), default=int(size * _NEAR))
        return self._line(other, size) if other else None

    def _line(self, first: int, other: int) -> ScalingTrace | None:
        first, other = sorted((first, other))
        return ScalingTrace.between(self._trace(first), first, self._trace(other), other)

    def _on(self, line: ScalingTrace) -> int:
        """The answer where every size lies on the line."""
        bound = line.most_samples(self._usable)
        most = _LARGEST if bound is None else min(bound, _LARGEST)
        most = _largest_below(lambda size: may_stay_within(line.requests_at(size), self._usable, self._settings), most)
        return _downwards(lambda size: self._fits(line.requests_at(size)), most)

    def _runs(self, size: int) -> bool:
        return self._fits(self._trace(size))

    def _fits(self, trace: RequestTrace) -> bool:
        return stays_within(trace, self._usable, self._settings)

    def _trace(self, size: int) -> RequestTrace:
        if size not in self._traced:
            self._say(size)
            self._traced[size] = replace(self._plan, micro_batch_size=size).trace()
        return self._traced[size]

    def _first_step(self, size: int) -> RequestTrace:
        """The whole trace where there is one already."""
        if size in self._traced:
            return self._traced[size]
        self._say(size)
        return replace(self._plan, micro_batch_size=size).trace(steps=1)

    def _say(self, size: int) -> None:
        self._number += 1
        self._about = max(self._about, self._number)
        self._report(size, self._number, self._about)


def _expected(trace: RequestTrace, size: int, usable_bytes: int) -> int:
    """About how many samples fill this room, from 1, when what comes and goes grows with them; without rounding and gaps."""
    stays = grows = 0
    about = float("inf")
    for entry in trace.sequence:
        one = trace.allocations[entry if entry >= 0 else ~entry]
        more = one.bytes if entry >= 0 else -one.bytes
        stays, grows = (stays, grows + more) if _comes_and_goes(one) else (stays + more, grows)
        if grows and stays + grows * about > usable_bytes:
            about = (usable_bytes - stays) / grows
    return min(_LARGEST, max(1, int(size * about))) if about < float("inf") else _FURTHER * size


def _comes_and_goes(one: Allocation) -> bool:
    """With the samples; a workspace, which has no format, is as large for few of them."""
    return one.category in _GROWS and bool(one.dtype)


def _largest_below(fits: Callable[[int], bool], most: int) -> int:
    """The largest size that fits, where none above ``most`` does: as by doubling from 1 and halving, begun near the end.

    Where gaps let in some sizes and keep out smaller ones, the answer is the same as if all had been doubled.
    """
    good = 2 ** (most.bit_length() - 1) if most else 0
    while good and not fits(good):
        good //= 2
    return _between(lambda size: size <= most and fits(size), good, 2 * good if good else 1)


def _downwards(fits: Callable[[int], bool], most: int) -> int:
    """The largest size that fits, where none above ``most`` does and the answer is near it: by steps that double, then halves."""
    bad, good = most + 1, most
    while good and not fits(good):
        bad, good = good, max(0, good - 2 * (bad - good))
    return _between(fits, good, bad)


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
