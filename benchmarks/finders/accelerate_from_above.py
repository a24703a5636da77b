"""``accelerate.find_executable_batch_size``, from a size that is too large: it only ever goes down."""

from __future__ import annotations

from benchmarks.finders.accelerate_decorator import search
from benchmarks.finders.emulated import EmulatedCard

TITLE = "accelerate, from 16,384"
_START = 16_384


def find(card: EmulatedCard) -> int:
    """The size at which the function ran through."""
    return search(card, _START)
