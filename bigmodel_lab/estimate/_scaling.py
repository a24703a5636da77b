"""From two traces to any micro-batch: every request grows by a straight line."""

from __future__ import annotations

from dataclasses import dataclass, replace

from bigmodel_lab.memory.requests import Allocation, RequestTrace


@dataclass(frozen=True)
class ScalingTrace:
    """Traces of one step at two micro-batch sizes that differ in nothing but the sizes of tensors.

    >>> small, large = (RequestTrace((Allocation(8, "parameter"), Allocation(4 * n, "activation")), (0, 1)) for n in (1, 3))
    >>> [a.bytes for a in ScalingTrace.between(small, 1, large, 3).at(10).allocations]
    [8, 40]
    """

    first: RequestTrace
    """At the smaller size."""
    first_size: int
    """Samples in it."""
    slopes: tuple[float, ...]
    """Bytes a sample of each allocation."""
    other: RequestTrace
    """At the larger size."""
    other_size: int
    """Samples in it."""

    @classmethod
    def between(cls, first: RequestTrace, first_size: int, other: RequestTrace, other_size: int) -> ScalingTrace | None:
        """The line through two traces; None where the program takes another way with another size.

        Args:
            first: At the smaller size.
            first_size: Samples in it.
            other: At the larger size.
            other_size: Samples in it, more than in the first.
        """
        alike = first.sequence == other.sequence and all(
            a.maker == b.maker for a, b in zip(first.allocations, other.allocations, strict=True)
        )
        if not alike:
            return None
        pairs = zip(first.allocations, other.allocations, strict=True)
        slopes = tuple((b.bytes - a.bytes) / (other_size - first_size) for a, b in pairs)
        return cls(first, first_size, slopes, other, other_size)

    def at(self, size: int) -> RequestTrace:
        """The trace that a step with this many samples would give.

        Args:
            size: Samples, from 1.
        """
        if size in (self.first_size, self.other_size):
            return self.first if size == self.first_size else self.other
        grown = zip(self.first.allocations, self.other.allocations, self.slopes, strict=True)
        return replace(self.first, allocations=tuple(self._grown(a, b, slope, size) for a, b, slope in grown))

    def requests_at(self, size: int) -> RequestTrace:
        """As :meth:`at`, without shapes: quicker, and enough for an allocator.

        Args:
            size: Samples, from 1.
        """
        if size in (self.first_size, self.other_size):
            return self.at(size)
        more = size - self.first_size
        grown = zip(self.first.allocations, self.slopes, strict=True)
        return replace(self.first, allocations=tuple(_longer(a, slope * more) if slope else a for a, slope in grown))

    def most_samples(self, capacity_bytes: int) -> int | None:
        """More samples than this hold more bytes of tensors at once than there is room; None where none ever do.

        A bound from above, without the allocator's rounding and gaps: one pass over the trace in the place of many replays.

        Args:
            capacity_bytes: The room.
        """
        held = each = 0.0
        most = float("inf")
        for entry in self.first.sequence:
            number, sign = (entry, 1) if entry >= 0 else (~entry, -1)
            slope = self.slopes[number]
            held += sign * (self.first.allocations[number].bytes - slope * self.first_size)
            each += sign * slope
            if held + each * most > capacity_bytes if each > _ROUNDING else held > capacity_bytes:
                most = max(0.0, (capacity_bytes - held) / each) if each > _ROUNDING else 0.0
        return None if most == float("inf") else max(0, int(most + _ROUNDING))

    def foretells(self, beginning: RequestTrace, size: int) -> bool:
        """Whether a trace at this size, which may end earlier, asks for what the line says, in the same order.

        Args:
            beginning: Of the first step or of all.
            size: Samples in it.
        """
        last = max((at for at, entry in enumerate(beginning.sequence) if entry >= 0), default=-1)  # then only frees
        expected = self.requests_at(size)
        if beginning.sequence[: last + 1] != expected.sequence[: last + 1]:
            return False
        return all(
            a.bytes == b.bytes and a.maker == b.maker
            for a, b in zip(beginning.allocations, expected.allocations, strict=False)
        )

    def _grown(self, small: Allocation, large: Allocation, slope: float, size: int) -> Allocation:
        if small is large or (not slope and small.shape == large.shape):
            return small
        share = (size - self.first_size) / (self.other_size - self.first_size)
        shape = tuple(round(a + (b - a) * share) for a, b in zip(small.shape, large.shape, strict=True))
        grown = max(0, round(small.bytes + slope * (size - self.first_size)))
        return replace(small, bytes=grown, shape=shape)


_ROUNDING = 1e-6
"""Of a division that should give a whole number."""


def _longer(allocation: Allocation, more: float) -> Allocation:
    size = max(0, round(allocation.bytes + more))
    return Allocation(size, allocation.category, allocation.module, allocation.maker, (), allocation.dtype)
