"""Does it fit? A predicted peak against a card, and against all cards at once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from bigmodel_lab._table import Table
from bigmodel_lab.i18n import text
from bigmodel_lab.memory.cards import Card, card, cards
from bigmodel_lab.units import format_bytes

Verdict: TypeAlias = Literal["fits", "tight", "does not fit"]
"""``"tight"``: it depends on how the allocator fragments, or on the size of the context."""

MARGIN_BYTES = 256 * 2**20
"""Less than this left over is tight: contexts are known no better (300 to 400 MB are usual, 0.6 GiB happen)."""


@dataclass(frozen=True)
class Fit:
    """A predicted peak and a card.

    >>> fit = Fit(card("T4"), reserved_range=(9 * 2**30, 10 * 2**30))
    >>> fit.verdict, str(fit)
    ('fits', 'T4 (14.7 GiB): fits, 4.37 GiB left.')
    >>> Fit(card("T4"), reserved_range=(15 * 2**30, 16 * 2**30)).verdict
    'does not fit'
    """

    card: Card
    """Where it shall run."""
    reserved_range: tuple[int, int]
    """Least and most bytes that the caching allocator is expected to hold at its peak."""
    others_bytes: int = 0
    """What other processes hold on the card."""

    @property
    def device_range(self) -> tuple[int, int]:
        """Least and most bytes of the card that this process is expected to take, its CUDA context included."""
        least, most = self.reserved_range
        return least + self.card.context_bytes, most + self.card.context_bytes

    @property
    def free_bytes(self) -> int:
        """What is left of the card at the most that is expected; negative is what is missing."""
        return self.card.total_bytes - self.others_bytes - self.device_range[1]

    @property
    def verdict(self) -> Verdict:
        """Does not fit when even the least expected is too much; fits when :data:`MARGIN_BYTES` are left at the most."""
        if self.device_range[0] > self.card.total_bytes - self.others_bytes:
            return "does not fit"
        return "fits" if self.free_bytes >= MARGIN_BYTES else "tight"

    def __str__(self) -> str:
        return text(
            "fit.sentence",
            "{card} ({total}): {verdict}, {rest}.",
            card=self.card.name,
            total=format_bytes(self.card.total_bytes),
            verdict=_in_words(self.verdict),
            rest=_rest(self.free_bytes),
        )


def fit_on(reserved_range: tuple[int, int], which: str | Card, others_bytes: int = 0) -> Fit:
    """Does this peak fit this card?

    Args:
        reserved_range: Least and most bytes that the caching allocator is expected to hold.
        which: A card, its name, or a size such as ``"24GiB"``.
        others_bytes: What other processes hold on the card.

    Raises:
        UnknownNameError: There is no such card.

    >>> fit_on((2**30, 2**30), "2GiB").verdict
    'fits'
    """
    return Fit(card(which), reserved_range, others_bytes)


def fits_table(reserved_range: tuple[int, int], which: Iterable[str | Card] = ()) -> Table:
    """A peak against many cards, a row each.

    Args:
        reserved_range: Least and most bytes that the caching allocator is expected to hold.
        which: Cards, names or sizes; empty takes every card that is known, the smallest first.

    Raises:
        UnknownNameError: One of them is unknown.

    >>> print(fits_table((14 * 2**30, 15 * 2**30), ["T4", "L4"]).text())
    Fits on (estimate)
    card  memory    verdict  left
    T4    14.7 GiB  tight    646 MiB missing
    L4    22 GiB    fits     6.66 GiB
    """
    chosen = tuple(map(card, which)) or cards()
    return Table(
        (
            text("fit.head_card", "card"),
            text("fit.head_memory", "memory"),
            text("fit.head_verdict", "verdict"),
            text("fit.head_left", "left"),
        ),
        tuple(_row(Fit(one, reserved_range)) for one in chosen),
        title=text("fit.title", "Fits on (estimate)"),
    )


def _row(fit: Fit) -> tuple[str, ...]:
    left = format_bytes(fit.free_bytes) if fit.free_bytes >= 0 else _rest(fit.free_bytes)
    return fit.card.name, format_bytes(fit.card.total_bytes), _in_words(fit.verdict), left


def _rest(free_bytes: int) -> str:
    if free_bytes < 0:
        return text("fit.missing", "{size} missing", size=format_bytes(-free_bytes))
    return text("fit.left", "{size} left", size=format_bytes(free_bytes))


def _in_words(verdict: Verdict) -> str:
    if verdict == "fits":
        return text("fit.fits", "fits")
    return text("fit.tight", "tight") if verdict == "tight" else text("fit.does_not_fit", "does not fit")
