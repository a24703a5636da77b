"""Does it fit the cards of this machine: empty, and beside those who use them now?"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass

from bigmodel_lab.i18n import text
from bigmodel_lab.memory.cards import Card, card_at_hand
from bigmodel_lab.memory.fits import Fit
from bigmodel_lab.samplers import Card as CardAtHand
from bigmodel_lab.samplers import CardTable


@dataclass(frozen=True)
class FitHere:
    """One card of this machine, two answers."""

    title: str
    """Number and name of the card."""
    empty: Fit
    """If nobody else used it."""
    now: Fit | None
    """Beside the programs that use it now; None where the driver does not tell how much they hold."""

    def __str__(self) -> str:
        if self.now is None:
            return text(
                "fit.here_unknown", "{title} – empty: {empty} Now: unknown.", title=self.title, empty=self.empty
            )
        return text("fit.here", "{title} – empty: {empty} Now: {now}", title=self.title, empty=self.empty, now=self.now)


def fits_at_hand(
    reserved_range: tuple[int, int], table: CardTable, reasons: tuple[str, ...] = ()
) -> tuple[FitHere, ...]:
    """Both answers for each card of the machine; empty where there is none.

    Args:
        reserved_range: Least and most bytes that the caching allocator is expected to hold.
        table: As :func:`bigmodel_lab.gpus` gives it.
        reasons: As in :func:`bigmodel_lab.memory.fits.fit_on`.
    """
    known = [(one, card_at_hand(one.name, one.device_total_bytes)) for one in table.cards]
    return tuple(_fit(reserved_range, at_hand, one, reasons) for at_hand, one in known if one is not None)


def _fit(reserved_range: tuple[int, int], at_hand: CardAtHand, one: Card, reasons: tuple[str, ...]) -> FitHere:
    others = held_by_others(at_hand)
    now = None if others is None else Fit(one, reserved_range, others, reasons)
    return FitHere(at_hand.title(), Fit(one, reserved_range, reasons=reasons), now)


def held_by_others(at_hand: CardAtHand) -> int | None:
    """Everything in use but what this very process holds."""
    if at_hand.device_used_bytes is None:
        return None
    own = _own(p.used_bytes for p in at_hand.processes or () if p.pid == os.getpid())
    return max(0, at_hand.device_used_bytes - own)


def _own(held: Iterable[int | None]) -> int:
    return sum(used or 0 for used in held)
