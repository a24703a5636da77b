"""``accelerate.find_executable_batch_size``, from its default of 128."""

from __future__ import annotations

from accelerate.utils import find_executable_batch_size

from benchmarks.finders.emulated import EmulatedCard

TITLE = "accelerate, from 128"
START = 128
_STEPS = 3
"""Of a training that is as short as Lightning's trials; really it would be the whole one."""


def find(card: EmulatedCard) -> int:
    """The size at which the function ran through."""
    return search(card, START)


def search(card: EmulatedCard, start: int) -> int:
    """As :func:`find`, from any size.

    Args:
        card: The emulated card.
        start: Its ``starting_batch_size``.
    """

    @find_executable_batch_size(starting_batch_size=start)  # type: ignore[untyped-decorator]
    def train(batch_size: int) -> int:
        card.begin(batch_size)
        for _ in range(_STEPS):
            card.step(batch_size)
        return batch_size

    found: int = train()
    return found
