"""Lightning's ``Tuner.scale_batch_size`` in the mode that bisects; it takes 5 % off what it found."""

from __future__ import annotations

from benchmarks.finders.emulated import EmulatedCard
from benchmarks.finders.lightning_power import search

TITLE = "Lightning, binsearch"


def find(card: EmulatedCard) -> int:
    """What the tuner returns."""
    return search(card, "binsearch")
