"""How much memory each category held at every moment, and who held it at one.

From a trace of requests and the allocator's answer to it, or from a recorded snapshot of a real card.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bigmodel_lab._table import Table
from bigmodel_lab.errors import ConfigError
from bigmodel_lab.i18n import text
from bigmodel_lab.memory.categories import SHOWN, category_label, known
from bigmodel_lab.memory.replay import live_at
from bigmodel_lab.memory.requests import Allocation, RequestTrace
from bigmodel_lab.units import format_bytes

Bytes: TypeAlias = NDArray[np.int64]
_FEWEST_POINTS = 32  # one moment each for the lowest and highest of every line, with the ends and the peak


class Amounts(Protocol):
    """What an allocator made of a trace; a replay and a recorded snapshot both know it."""

    @property
    def allocated(self) -> Sequence[int]:
        """Allocated bytes after each entry of the trace, up to where the program stopped."""

    @property
    def reserved(self) -> Sequence[int]:
        """Reserved bytes after each entry."""

    @property
    def stopped_at(self) -> int | None:
        """Position of the request that did not fit; None when everything did."""


@dataclass(frozen=True)
class PhaseSpan:
    """One phase of one step."""

    start: int
    """Its first position in the trace."""
    stop: int
    """Position after its last."""
    phase: str
    """``"load"``, ``"forward"``, ``"backward"``, ``"optimizer"``, or a name of its own."""
    step: int
    """Number of the optimizer step, from 0; -1 before the first, or where it is not known."""
    peak_allocated_bytes: int
    """Most that was allocated in it."""
    peak_reserved_bytes: int
    """Most that was reserved in it."""

    @property
    def label(self) -> str:
        """Phase and step as a person counts them, from 1."""
        if self.step < 0:
            return self.phase
        return text("memory.phase_of_step", "{phase}, step {step}", phase=self.phase, step=self.step + 1)


@dataclass(frozen=True)
class MemoryTimeline:
    """Moments of a trace, in order; each is one that really was, none is a mean of several."""

    positions: tuple[int, ...]
    """Positions in the trace."""
    by_category: dict[str, tuple[int, ...]]
    """Bytes of each category after those positions, in the order of the stack; without those that never occur."""
    allocated: tuple[int, ...]
    """Allocated bytes, which the categories add up to."""
    reserved: tuple[int, ...]
    """Reserved bytes."""
    phases: tuple[PhaseSpan, ...]
    """What the program did, in order."""
    entries: int
    """Length of the trace, or of the part that fitted."""
    peak_position: int
    """First position of the highest allocated; -1 in an empty trace."""
    peak_allocated_bytes: int
    """Most that was allocated."""
    peak_reserved_bytes: int
    """Most that was reserved."""
    stopped_at: int | None
    """Position of the request that did not fit; None when everything did."""

    def phase_at(self, position: int) -> PhaseSpan | None:
        """The phase that a position lies in; None outside every phase."""
        return next((span for span in self.phases if span.start <= position < span.stop), None)


def timeline(trace: RequestTrace, amounts: Amounts, points: int = 900) -> MemoryTimeline:
    """Bytes by category over the trace, at not more than so many moments.

    A block may be longer than what was asked for; the difference counts to the allocation that the block serves, so
    the categories add up to the allocated bytes. A long trace is cut into stretches; of each, the moments stay where
    the allocated or reserved bytes or a category were lowest and highest.

    Args:
        trace: The requests.
        amounts: What the allocator made of them.
        points: Most moments, from 32.

    Raises:
        ConfigError: ``points`` is too small.

    >>> from bigmodel_lab.memory.replay import replay
    >>> trace = RequestTrace((Allocation(4096, "parameter"), Allocation(100, "activation")), (0, 1, ~1))
    >>> seen = timeline(trace, replay(trace))
    >>> seen.by_category, seen.peak_position
    ({'parameter': (4096, 4096, 4096), 'activation': (0, 512, 0)}, 1)
    """
    if points < _FEWEST_POINTS:
        message = "points is {points}, but must be at least {least}: fewer moments could not show every peak."
        raise ConfigError(text("error.timeline_points", message, points=points, least=_FEWEST_POINTS))
    allocated, reserved = (np.asarray(series, dtype=np.int64) for series in (amounts.allocated, amounts.reserved))
    stack = _by_category(trace, allocated)
    peak = int(allocated.argmax()) if len(allocated) else -1
    kept = _kept([allocated, reserved, *stack.values()], points, peak)
    return MemoryTimeline(
        positions=tuple(kept.tolist()),
        by_category={category: tuple(series[kept].tolist()) for category, series in stack.items()},
        allocated=tuple(allocated[kept].tolist()),
        reserved=tuple(reserved[kept].tolist()),
        phases=_phases(trace, allocated, reserved),
        entries=len(allocated),
        peak_position=peak,
        peak_allocated_bytes=int(allocated.max(initial=0)),
        peak_reserved_bytes=int(reserved.max(initial=0)),
        stopped_at=amounts.stopped_at,
    )


def blocks_at(trace: RequestTrace, amounts: Amounts, position: int) -> dict[int, int]:
    """Bytes of the block of each allocation that is alive after an entry, by its number.

    Args:
        trace: The requests.
        amounts: What the allocator made of them.
        position: Index into the trace's sequence; -1 is before everything.
    """
    alive: dict[int, int] = {}
    before = 0
    for entry, after in zip(trace.sequence[: position + 1], amounts.allocated, strict=False):
        if entry >= 0:
            alive[entry] = after - before
        else:
            del alive[~entry]
        before = after
    return alive


def by_category_at(trace: RequestTrace, amounts: Amounts, position: int) -> dict[str, int]:
    """Bytes of each category after an entry, in the order of the stack; they add up to the allocated bytes.

    Args:
        trace: The requests.
        amounts: What the allocator made of them.
        position: Index into the trace's sequence.
    """
    sums = _sums(trace, blocks_at(trace, amounts, position), lambda allocation: known(allocation.category))
    return {category: sums[category] for category in SHOWN if category in sums}


def by_module_at(trace: RequestTrace, amounts: Amounts, position: int, depth: int | None = None) -> dict[str, int]:
    """Bytes of each module after an entry, the largest first; they add up to the allocated bytes.

    Args:
        trace: The requests.
        amounts: What the allocator made of them.
        position: Index into the trace's sequence.
        depth: A module counts to its ancestor so many names deep, ``"encoder.layer.3"`` at 2 to ``"encoder.layer"``;
            None keeps every module apart. What no module made is ``""``.
    """
    sums = _sums(trace, blocks_at(trace, amounts, position), lambda allocation: folded(allocation.module, depth))
    return dict(sorted(sums.items(), key=lambda pair: (-pair[1], pair[0])))


def folded(module: str, depth: int | None) -> str:
    """The ancestor of a module so many names deep; None is the module itself.

    >>> folded("encoder.layer.3.attention", 2), folded("head", 2), folded("a.b", None)
    ('encoder.layer', 'head', 'a.b')
    """
    return module if depth is None else ".".join(module.split(".")[:depth])


def largest_at(trace: RequestTrace, position: int, count: int = 10) -> tuple[Allocation, ...]:
    """The largest allocations that are alive after an entry, the largest first, of equal ones the older.

    Args:
        trace: The requests.
        position: Index into the trace's sequence.
        count: So many at most.
    """
    alive = sorted(live_at(trace, position), key=lambda number: (-trace.allocations[number].bytes, number))
    return tuple(trace.allocations[number] for number in alive[:count])


def largest_table(allocations: Iterable[Allocation], title: str = "") -> Table:
    """Allocations as a table: module, maker, shape, dtype, size, category.

    Args:
        allocations: In the order of the rows.
        title: What the table shows.

    >>> weight = Allocation(4096, "parameter", "head", "aten.empty", (32, 32), "float32")
    >>> print(largest_table([weight]).text())
    module  maker       shape    dtype     size  category
    head    aten.empty  32 × 32  float32  4 KiB  parameters
    """
    heads = (
        text("memory.module", "module"),
        text("memory.maker", "maker"),
        text("memory.shape", "shape"),
        text("memory.dtype", "dtype"),
        text("memory.size", "size"),
        text("memory.category", "category"),
    )
    return Table(heads, tuple(map(_cells, allocations)), right={4}, title=title)


def shape_in_words(shape: Sequence[int]) -> str:
    """A shape as a person writes it; empty where there is no tensor.

    >>> shape_in_words((8, 1024, 768)), shape_in_words(())
    ('8 × 1024 × 768', '')
    """
    return " × ".join(map(str, shape))


def _cells(allocation: Allocation) -> tuple[str, ...]:
    return (
        allocation.module or "–",
        allocation.maker or "–",
        shape_in_words(allocation.shape) or "–",
        allocation.dtype or "–",
        format_bytes(allocation.bytes),
        category_label(allocation.category),
    )


def _sums(trace: RequestTrace, blocks: dict[int, int], name: Callable[[Allocation], str]) -> dict[str, int]:
    sums: dict[str, int] = defaultdict(int)
    for number, length in blocks.items():
        sums[name(trace.allocations[number])] += length
    return dict(sums)


def _by_category(trace: RequestTrace, allocated: Bytes) -> dict[str, Bytes]:
    """What each entry changed, summed up by the category of its allocation."""
    entries = np.asarray(trace.sequence[: len(allocated)], dtype=np.int64)
    of = np.array([SHOWN.index(known(allocation.category)) for allocation in trace.allocations], dtype=np.int64)
    places = of[np.where(entries >= 0, entries, ~entries)]
    changes = np.diff(allocated, prepend=0)
    occurring = set(places.tolist())
    return {
        name: np.where(places == place, changes, 0).cumsum() for place, name in enumerate(SHOWN) if place in occurring
    }


def _kept(lines: list[Bytes], points: int, peak: int) -> NDArray[np.int64]:
    """The moments that stay: the lowest and highest of every line in each stretch, the ends and the peak."""
    count = len(lines[0])
    if count <= points:
        return np.arange(count)
    stretches = points // 2
    while True:
        found = np.unique(np.concatenate([[0, peak, count - 1], *(_extremes(line, stretches) for line in lines)]))
        if len(found) <= points:
            return found
        stretches = max(1, stretches * 3 // 4)


def _extremes(line: Bytes, stretches: int) -> NDArray[np.int64]:
    """Positions of the lowest and the highest of each stretch."""
    width = -(-len(line) // stretches)
    rows = -(-len(line) // width)
    square = np.pad(line, (0, rows * width - len(line)), mode="edge").reshape(rows, width)
    starts = np.arange(rows) * width
    found = np.concatenate([starts + square.argmin(axis=1), starts + square.argmax(axis=1)])
    found[found >= len(line)] = len(line) - 1  # of the padding
    return found


def _phases(trace: RequestTrace, allocated: Bytes, reserved: Bytes) -> tuple[PhaseSpan, ...]:
    """From each mark to the next; marks at one place are one, the last."""
    marks = {mark.position: mark for mark in trace.marks if mark.position < len(allocated)}
    starts = sorted(marks)
    return tuple(
        PhaseSpan(
            start,
            stop,
            marks[start].phase,
            marks[start].step,
            int(allocated[start:stop].max()),
            int(reserved[start:stop].max()),
        )
        for start, stop in zip(starts, [*starts[1:], len(allocated)], strict=False)  # without a mark no span
    )
