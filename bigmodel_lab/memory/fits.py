"""Does it fit? A predicted peak against a card, and against all cards at once.

Three things are known as ranges: what the allocator reserves, what the CUDA context takes, and what such a card has. It
fits where all of them may be at their worst, it does not where all of them may be at their best, and between the two
nobody can say: that is ``"uncertain"``, with the reason.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from bigmodel_lab._table import Table
from bigmodel_lab.i18n import text
from bigmodel_lab.memory.cards import Card, card, cards
from bigmodel_lab.units import format_bytes, format_bytes_as_torch

Verdict: TypeAlias = Literal["fits", "uncertain", "does not fit"]
"""``"uncertain"``: it fits at one end of what is known as a range, and does not at the other."""

_GIB = 2**30
VERDICTS: tuple[Verdict, ...] = ("does not fit", "uncertain", "fits")
"""All of them, the worst first."""

COLOURS: dict[Verdict, str] = {"does not fit": "#cf222e", "uncertain": "#bf8700", "fits": "#2da44e"}
"""Of a bar beside the word; each has a contrast of at least 3 on white and on black."""


@dataclass(frozen=True)
class Fit:
    """A predicted peak and a card.

    >>> fit = Fit(card("T4"), reserved_range=(9 * 2**30, 10 * 2**30))
    >>> fit.verdict, str(fit)
    ('fits', 'T4 (14.8 GiB): fits, at least 4.19 GiB left.')
    >>> Fit(card("T4"), reserved_range=(15 * 2**30, 16 * 2**30)).verdict
    'does not fit'
    >>> nearly = Fit(card("T4"), reserved_range=(14 * 2**30, 71 * 2**30 // 5))
    >>> nearly.verdict, nearly.why
    ('uncertain', 'the allocator may reserve between 14.00 and 14.20 GiB, the CUDA context takes between 94 and 381 MiB, such a card has between 14.56 and 14.76 GiB')
    """

    card: Card
    """Where it shall run."""
    reserved_range: tuple[int, int]
    """Least and most bytes that the caching allocator is expected to hold at its peak."""
    others_bytes: int = 0
    """What other processes hold on the card."""
    reasons: tuple[str, ...] = ()
    """Why it may take more than the range says, e.g. what the estimate could not follow; with one of them nothing surely fits."""

    @property
    def device_range(self) -> tuple[int, int]:
        """Least and most bytes of the card that this process is expected to take, its CUDA context included."""
        (least, most), (little, much) = self.reserved_range, self.card.context_range
        return least + little, most + much

    @property
    def free_bytes(self) -> int:
        """What is left in any case: of the smallest such card, at the most that is expected; negative is what may be missing."""
        return self.card.total_range[0] - self.others_bytes - self.device_range[1]

    @property
    def free_at_best_bytes(self) -> int:
        """What is left of the largest such card at the least that is expected; negative is what is missing in any case."""
        return self.card.total_range[1] - self.others_bytes - self.device_range[0]

    @property
    def verdict(self) -> Verdict:
        """Does not fit when nothing is left even at best; fits when it does in any case and no reason speaks against it."""
        if self.free_at_best_bytes < 0:
            return "does not fit"
        return "fits" if self.free_bytes >= 0 and not self.reasons else "uncertain"

    @property
    def why(self) -> str:
        """What makes the verdict uncertain, in words; empty for the other two."""
        if self.verdict != "uncertain":
            return ""
        return ", ".join((*(clause for _, clause in self._ranges()), *self.reasons))

    def __str__(self) -> str:
        said = text(
            "fit.sentence",
            "{card} ({total}): {verdict}, {rest}.",
            card=self.card.name,
            total=format_bytes(self.card.total_range[1]),
            verdict=verdict_in_words(self.verdict),
            rest=self.rest,
        )
        return text("fit.sentence_why", "{said} Why: {why}.", said=said, why=self.why) if self.why else said

    @property
    def rest(self) -> str:
        """What is left or missing, in words."""
        if self.verdict == "does not fit":
            return text("fit.missing", "at least {size} missing", size=format_bytes(-self.free_at_best_bytes))
        if self.free_bytes < 0:
            return text("fit.may_be_missing", "up to {size} missing", size=format_bytes(-self.free_bytes))
        if self.reasons:
            return text("fit.left_as_known", "{size} left as far as is known", size=format_bytes(self.free_bytes))
        return text("fit.left", "at least {size} left", size=format_bytes(self.free_bytes))

    @property
    def depends_on(self) -> tuple[str, ...]:
        """What makes the verdict uncertain, a word each; empty for the other two."""
        if self.verdict != "uncertain":
            return ()
        told = (text("fit.on_estimate", "estimate"),) if self.reasons else ()
        return (*(word for word, _ in self._ranges()), *told)

    def _ranges(self) -> list[tuple[str, str]]:
        """What is known as a range, where the worse ends together are too much: a word and a clause each."""
        if self.free_bytes >= 0:
            return []
        context, total = self.card.context_range, self.card.total_range
        known = (
            (
                self.reserved_range,
                text("fit.on_allocator", "allocator"),
                text("fit.why_allocator", "the allocator may reserve {range}", range=_between(self.reserved_range)),
            ),
            (
                context,
                text("fit.on_context", "context"),
                text("fit.why_context", "the CUDA context takes {range}", range=_between(context)),
            ),
            (
                total,
                text("fit.on_card", "card"),
                text("fit.why_card", "such a card has {range}", range=_between(total)),
            ),
        )
        return [(word, clause) for (least, most), word, clause in known if least < most]


def fit_on(
    reserved_range: tuple[int, int], which: str | Card, others_bytes: int = 0, reasons: tuple[str, ...] = ()
) -> Fit:
    """Does this peak fit this card?

    Args:
        reserved_range: Least and most bytes that the caching allocator is expected to hold.
        which: A card, its name, or a size such as ``"24GiB"``.
        others_bytes: What other processes hold on the card.
        reasons: Why it may take more than the range says; each of them makes "fits" uncertain.

    Raises:
        UnknownNameError: There is no such card.

    >>> fit_on((2**30, 2**30), "2GiB").verdict
    'fits'
    >>> unsure = fit_on((2**30, 2**30), "2GiB", reasons=("a kernel of its own was not followed",))
    >>> unsure.verdict, unsure.why
    ('uncertain', 'a kernel of its own was not followed')
    """
    return Fit(card(which), reserved_range, others_bytes, reasons)


def fits_on(
    reserved_range: tuple[int, int], which: Iterable[str | Card] = (), reasons: tuple[str, ...] = ()
) -> tuple[Fit, ...]:
    """A peak against many cards.

    Args:
        reserved_range: Least and most bytes that the caching allocator is expected to hold.
        which: Cards, names or sizes; empty takes every card that is known, the smallest first.
        reasons: As in :func:`fit_on`.

    Raises:
        UnknownNameError: One of them is unknown.

    >>> [fit.verdict for fit in fits_on((14 * 2**30, 15 * 2**30), ["T4", "L4"])]
    ['uncertain', 'fits']
    """
    chosen = tuple(map(card, which)) or cards()
    return tuple(Fit(one, reserved_range, reasons=reasons) for one in chosen)


def fits_table(
    reserved_range: tuple[int, int], which: Iterable[str | Card] = (), reasons: tuple[str, ...] = ()
) -> Table:
    """The same as a table, a row each.

    Args:
        reserved_range: Least and most bytes that the caching allocator is expected to hold.
        which: Cards, names or sizes; empty takes every card that is known, the smallest first.
        reasons: As in :func:`fit_on`.

    Raises:
        UnknownNameError: One of them is unknown.

    >>> print(fits_table((14 * 2**30, 15 * 2**30), ["T4", "L4"]).text())
    Fits on (estimate)
    card  memory    verdict    left                    depends on
    T4    14.8 GiB  uncertain  up to 829 MiB missing   allocator, context, card
    L4    22.2 GiB  fits       at least 6.49 GiB left
    """
    return table_of_fits(fits_on(reserved_range, which, reasons))


def table_of_fits(fits: Sequence[Fit]) -> Table:
    """Fits as a table, a row each. Its memory is the most that such a card has shown.

    Args:
        fits: In their order.
    """
    verdict = text("fit.head_verdict", "verdict")
    heads = (
        text("fit.head_card", "card"),
        text("fit.head_memory", "memory"),
        verdict,
        text("fit.head_left", "left"),
        text("fit.head_depends", "depends on"),
    )
    columns = len(heads) if any(fit.depends_on for fit in fits) else len(heads) - 1
    return Table(
        heads[:columns],
        tuple(_row(fit)[:columns] for fit in fits),
        title=text("fit.title", "Fits on (estimate)"),
        bars={(line, heads.index(verdict)): COLOURS[fit.verdict] for line, fit in enumerate(fits)},
    )


def verdict_in_words(verdict: Verdict) -> str:
    """A verdict for a person.

    >>> verdict_in_words("does not fit")
    'does not fit'
    """
    words = {
        "fits": text("fit.fits", "fits"),
        "uncertain": text("fit.uncertain", "uncertain"),
        "does not fit": text("fit.does_not_fit", "does not fit"),
    }
    return words[verdict]


def _row(fit: Fit) -> tuple[str, ...]:
    total = format_bytes(fit.card.total_range[1])
    return fit.card.name, total, verdict_in_words(fit.verdict), fit.rest, ", ".join(fit.depends_on)


def _between(known: tuple[int, int]) -> str:
    """A range with so many digits that its ends differ, the unit once where both have the same."""
    size = format_bytes_as_torch if known[0] > _GIB else format_bytes
    low, high = map(size, known)
    number, unit = low.split(" ")
    least = number if high.endswith(f" {unit}") else low
    return text("fit.between", "between {least} and {most}", least=least, most=high)
