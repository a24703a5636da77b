"""``estimate_memory``: the predicted peak, with its words, tables and pictures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec

from bigmodel_lab import estimate
from bigmodel_lab._table import Table
from bigmodel_lab.api._fits_here import FitHere, fits_at_hand
from bigmodel_lab.api._machine import gpus
from bigmodel_lab.estimate import Lora
from bigmodel_lab.i18n import text
from bigmodel_lab.memory.cards import Card
from bigmodel_lab.memory.cards import cards as known_cards
from bigmodel_lab.memory.fits import table_of_fits
from bigmodel_lab.memory.report import report_html, report_text
from bigmodel_lab.widgets import WaitingLine

if TYPE_CHECKING:
    from bigmodel_lab.estimate._search import Report
    from bigmodel_lab.widgets._estimate_view import EstimateView
    from bigmodel_lab.widgets._memory_picture import MemoryPicture

__all__ = ["Lora", "MemoryEstimate", "estimate_memory"]

Settings = ParamSpec("Settings")


class MemoryEstimate(estimate.MemoryEstimate):
    """A predicted peak, and all that it was made of. An estimate: nothing here was measured.

    Made by :func:`bigmodel_lab.estimate_memory`. A notebook shows it as a report; ``print`` writes
    the same as text.
    """

    @property
    def timeline(self) -> MemoryPicture:
        """Memory over both steps by category, phases marked, the card's capacity as a line."""
        from bigmodel_lab.widgets._estimate_view import estimate_timeline

        return estimate_timeline(self)

    def allocator_map(self, position: int | None = None) -> MemoryPicture:
        """The segments of the simulated allocator and their blocks at one moment, as a picture.

        Args:
            position: Index into ``trace.sequence``; the moment is after that entry. None is the peak.
        """
        from bigmodel_lab.widgets._estimate_view import estimate_map

        return estimate_map(self, position)

    def fits_on(self, *cards: str | Card) -> Table:
        """The predicted peak against many cards, a row each.

        Args:
            cards: Cards, their names, or sizes such as ``"24GiB"``; none takes every card that is known.

        Raises:
            UnknownNameError: One of them is unknown.
        """
        return table_of_fits([self.fits(one) for one in cards or known_cards()])

    def fits_here(self) -> tuple[FitHere, ...]:
        """For each card of this machine two answers: if it were empty, and beside those who use it now; empty without a card."""
        return fits_at_hand(self.reserved_range, gpus(), self.doubts)

    def explore(self, *cards: str | Card) -> EstimateView:
        """The report with its pictures, and where widgets work a slider and switches that estimate again.

        Args:
            cards: Cards of the table, as in :meth:`fits_on`.
        """
        from bigmodel_lab.widgets._estimate_view import EstimateView

        return EstimateView(self, _AtOnce(self), checkpointing=bool(self.plan.checkpointing), cards=cards)

    def max_micro_batch_in(self, capacity_bytes: int, *, report: Report | None = None) -> int:
        """As the estimate without pictures; what takes longer than two seconds says how far it is, in a line that goes again.

        Args:
            capacity_bytes: What the caching allocator can get from the driver in all.
            report: Hears of every trace besides: (samples, which trace it is, of about how many).
        """
        with WaitingLine("") as line:

            def said(samples: int, number: int, about: int) -> None:
                line.say(
                    text(
                        "progress.tracing_at",
                        "tracing at {samples} samples ({number} of about {about})…",
                        samples=samples,
                        number=number,
                        about=about,
                    )
                )
                if report is not None:
                    report(samples, number, about)

            return super().max_micro_batch_in(capacity_bytes, report=said)

    def again(self, **changes: Any) -> MemoryEstimate:
        """The same estimate with something changed.

        Args:
            changes: ``micro_batch_size``, ``precision``, ``checkpointing``, ``optimizer`` or ``gradient_accumulation_steps``, as
                :func:`bigmodel_lab.estimate_memory` takes them.
        """
        return MemoryEstimate(**vars(super().again(**changes)))

    def as_json(self) -> dict[str, Any]:
        """The estimate in values of JSON, sizes in bytes; ``card``, ``device_bytes``, ``verdict`` and ``why`` are None without a card."""
        moment = self.moment_of_peak
        return {
            "simulated": True,
            "model": self.plan.source.name,
            "micro_batch_size": self.micro_batch_size,
            "precision": self.precision,
            "checkpointing": self.plan.checkpointing,
            "peak_allocated_bytes": self.peak_allocated_bytes,
            "peak_reserved_bytes": self.peak_reserved_bytes,
            "reserved_range_bytes": list(self.reserved_range),
            "card": self.card and self.card.name,
            "device_bytes": self.device_bytes,
            "verdict": self.card and self.fits().verdict,
            "why": self.card and self.fits().why,
            "by_category": self.by_category,
            "moment_of_peak": {**asdict(moment), "largest": [asdict(one) for one in moment.largest]},
            "notes": list(self.notes),
        }

    def __str__(self) -> str:
        return report_text(self)

    def _repr_html_(self) -> str:
        return report_html(self)


class _AtOnce:
    """Estimates again for a slider: two traces for each choice of precision and checkpointing, a straight line for sizes."""

    def __init__(self, estimate: MemoryEstimate) -> None:
        self._first = estimate
        self._traced = {(estimate.precision, bool(estimate.plan.checkpointing)): estimate}

    def __call__(self, *, micro_batch_size: int, precision: str, checkpointing: bool) -> MemoryEstimate:
        chosen = (precision, checkpointing)
        if chosen not in self._traced:
            self._traced[chosen] = self._first.again(precision=precision, checkpointing=checkpointing)
        scaled = self._traced[chosen].scaled(micro_batch_size)
        assert isinstance(scaled, MemoryEstimate)
        return scaled


def _with_pictures(predict: Callable[Settings, estimate.MemoryEstimate]) -> Callable[Settings, MemoryEstimate]:
    """The same function with the same signature; what it returns can draw itself."""

    @wraps(predict)
    def estimate_memory(*args: Settings.args, **kwargs: Settings.kwargs) -> MemoryEstimate:
        with WaitingLine(text("progress.tracing", "tracing the step…")):
            return MemoryEstimate(**vars(predict(*args, **kwargs)))

    return estimate_memory


estimate_memory = _with_pictures(estimate.estimate_memory)
