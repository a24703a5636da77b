"""What observers of a run are told at the end of an epoch, and how they keep what they know."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable


@dataclass(frozen=True)
class EpochEnd:
    """What an epoch came to."""

    epoch: int
    """Which it was, from 1."""
    steps_made: int
    """Optimizer steps since the run began."""
    validation_loss: float | None
    """Mean loss of the validation samples; None where there are none."""
    validation_accuracy: float | None
    """Their share classified correctly; None where that is unknown."""
    best_epoch: int | None = None
    """Epoch of the lowest validation loss so far, this one included; None while there is no loss."""


@runtime_checkable
class Remembering(Protocol):
    """An observer that has something to remember when the run goes on in another process."""

    def state(self) -> dict[str, Any]:
        """All it knows, as plain values."""

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from what :meth:`state` gave."""


class BestEpoch:
    """The epoch with the lowest validation loss.

    >>> best = BestEpoch()
    >>> [best.after(epoch, loss) for epoch, loss in ((1, 0.5), (2, 0.3), (3, 0.4), (4, None))]
    [1, 2, 2, 2]
    """

    def __init__(self) -> None:
        self.known: tuple[int, float] | None = None
        """Its number and its loss; None while there is none."""

    def after(self, epoch: int, loss: float | None) -> int | None:
        """An epoch has ended with this validation loss (None: unknown); which one is the best now."""
        if loss is not None and (self.known is None or loss < self.known[1]):
            self.known = (epoch, loss)
        return None if self.known is None else self.known[0]


def states_of(observers: Iterable[object]) -> dict[str, dict[str, Any]]:
    """What each observer remembers, by the name of its class; those that remember nothing are left out."""
    return {type(one).__name__: one.state() for one in observers if isinstance(one, Remembering)}


def load_states(observers: Iterable[object], states: Mapping[str, Mapping[str, Any]]) -> None:
    """Give each observer back what it remembered; one that is new begins anew."""
    for one in observers:
        state = states.get(type(one).__name__)
        if state is not None and isinstance(one, Remembering):
            one.load_state(state)
