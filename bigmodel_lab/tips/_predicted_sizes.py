"""Which sizes an estimate expects to run, before any is tried and after one was."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from bigmodel_lab.estimate import MemoryEstimate

_CLOSE = 0.001
"""Sizes that differ by this share need not be told apart."""
_LEFT_FREE = 0.002
"""Share of the capacity that is left free once a real peak is known."""


class PredictedSizes:
    """Implements :class:`bigmodel_lab.tips._finder.Prediction`.

    >>> from bigmodel_lab.estimate import estimate_memory
    >>> sizes = PredictedSizes(estimate_memory("mlp", gpu="2GiB"), 2**27, 10**5)
    >>> 1 <= sizes.surest() <= estimate_memory("mlp", gpu="2GiB").max_micro_batch_in(2**27)
    True
    """

    def __init__(self, estimate: MemoryEstimate, capacity_bytes: int, at_most: int, rest_bytes: int = 0) -> None:
        """Traces the step at several sizes.

        Args:
            estimate: Of the step, with any number of samples.
            capacity_bytes: What the step may take, with what lies there besides.
            at_most: The largest size that is of interest.
            rest_bytes: What lies there besides, from beginning to end.

        Raises:
            TraceError: Another size than the estimate's cannot be traced.
        """
        self._rest = rest_bytes
        self._room = max(0, capacity_bytes - rest_bytes)
        self._most, self._estimate = at_most, estimate.again(micro_batch_size=at_most)
        if not self._is_sure(self._estimate):
            self._most = min(at_most, estimate.max_micro_batch_in(self._room))
            self._estimate = estimate.again(micro_batch_size=self._most) if self._most else estimate
        self._surest = self._largest(self._most, self._is_sure)

    def surest(self) -> int:
        """The largest size that fits if the peak is as high as the estimate's range goes; 0 where none does."""
        return self._surest

    def corrected(self, size: int, peak_bytes: int) -> int:
        """The largest size that fits if the estimate is off by as much as it was for this one.

        Args:
            size: That ran.
            peak_bytes: What was reserved.
        """
        with ThreadPoolExecutor(1, thread_name_prefix="estimate") as other:  # where no simulated card charges the trace
            return other.submit(self._corrected, size, peak_bytes).result()

    def _corrected(self, size: int, peak_bytes: int) -> int:
        off = max(1, peak_bytes - self._rest) / self._estimate.scaled(size).peak_reserved_bytes
        room = self._room * (1 - _LEFT_FREE) / off
        most = self._most if off >= 1 else round(self._most / off)
        return self._largest(most, lambda there: there.peak_reserved_bytes <= room)

    def _is_sure(self, there: MemoryEstimate) -> bool:
        """It fits even if its peak is as high as the range goes."""
        return max(there.reserved_range) <= self._room

    def _largest(self, most: int, fits: Callable[[MemoryEstimate], bool]) -> int:
        """By halves: the largest size up to ``most`` whose estimate fits; 0 where none does."""
        good, bad = 0, most + 1
        size = most
        while bad - good > max(1, _CLOSE * good):
            good, bad = (size, bad) if fits(self._estimate.scaled(size)) else (good, size)
            size = (good + bad) // 2
        return good
