"""The search of this library, without an estimate: probes and trials alone."""

from __future__ import annotations

import torch

from benchmarks.finders.emulated import CAPACITY_BYTES, EmulatedCard
from bigmodel_lab.tips._finder import FIRST_SIZE, Measured, find_largest

TITLE = "bigmodel_lab"
_START = 128
"""The micro-batch that the person uses; the first probe is an eighth of it."""
_AT_MOST = 65_535


def find(card: EmulatedCard) -> int:
    """The largest size that ran."""

    def trial(size: int, steps: int) -> Measured | None:
        card.begin(size)
        try:
            peaks = tuple(card.step(size) for _ in range(steps))
        except torch.OutOfMemoryError:
            return None
        return Measured(peaks, int(card.held_bytes))

    return find_largest(trial, CAPACITY_BYTES, at_most=_AT_MOST, first=_START // FIRST_SIZE).largest
