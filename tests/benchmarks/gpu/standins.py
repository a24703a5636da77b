"""What stands in for a card where there is none."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.gpu.estimates import Estimate
from benchmarks.gpu.measuring import Truth
from benchmarks.gpu.rows import Row


class CountingCard:
    """Counters that rise by 512 bytes each time they are read; computes on the CPU."""

    device = "cpu"

    def __init__(self, leftover: int = 0) -> None:
        self.cleared = 0
        self._leftover = leftover
        self._reads = 0

    def clear(self) -> None:
        """Back to what is left over."""
        self.cleared += 1
        self._reads = 0

    def stats(self) -> Mapping[str, int]:
        """The keys that are asked for."""
        allocated = 512 * self._reads
        self._reads += 1
        return {
            "reserved_bytes.all.current": self._leftover + allocated,
            "allocated_bytes.all.current": allocated // 2,
            "allocated_bytes.all.peak": allocated,
            "reserved_bytes.all.peak": 2 * allocated,
            "active_bytes.all.peak": allocated + 1,
            "requested_bytes.all.peak": allocated - 1,
            "num_alloc_retries": 0,
        }

    def outside_bytes(self) -> int | None:
        """Nobody knows."""
        return None


def truth(allocated: int = 1000, reserved: int = 1500, *, leftover: int = 0, peaks: tuple[int, ...] = ()) -> Truth:
    """A measurement of this peak."""
    return Truth(allocated, reserved, allocated, allocated, peaks or (10, 500, allocated), 400, leftover, None, 0, 0.5)


def estimate(allocated: int = 1000, least: int = 1400, most: int = 1600) -> Estimate:
    """A prediction of this peak."""
    return Estimate(allocated, (least + most) // 2, (least, most), "backward, step 2, at aten.mm", (), 0.1)


def row(allocated: int, reserved: int = 1500, name: str = "case") -> Row:
    """A row whose truth is 1000 B allocated, predicted as this."""
    return Row(name, truth=truth(1000, reserved), estimate=estimate(allocated))
