"""What a search for the largest batch has shown, for people."""

from __future__ import annotations

from dataclasses import dataclass

from bigmodel_lab._table import Table
from bigmodel_lab.i18n import text
from bigmodel_lab.tips._finder import Attempt, Found
from bigmodel_lab.units import format_bytes, format_number, format_seconds


@dataclass(frozen=True, repr=False)
class FoundBatchSize:
    """The largest micro-batch that really ran, the one to take, and every size that was tried.

    Made by :func:`bigmodel_lab.find_batch_size`. A notebook shows it as a table; ``print`` writes the same as text.
    """

    found: Found
    """What was run."""
    model: str
    """What the model is called."""
    device: str
    """The card, in words."""
    capacity_bytes: int
    """What the steps were allowed to take."""
    simulated: bool
    """The card is simulated; its memory is, and its speed is unknown."""
    notes: tuple[str, ...] = ()
    """What could not be done as usual; empty when everything was."""

    @property
    def largest(self) -> int:
        """Samples of the largest micro-batch that ran; 0 where not even one did."""
        return self.found.largest

    @property
    def recommended(self) -> int:
        """Samples of the smallest micro-batch that was tried and is within 5 % of the best throughput; 0 where none ran.

        The largest one where speed is unknown, as on a simulated card.
        """
        return self.found.recommended

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        """Every size that was run, in order, with its peaks and times."""
        return self.found.attempts

    @property
    def reason(self) -> str:
        """Why it is this size, in words with numbers."""
        return " ".join([_limit(self), *([_knee(self)] if self.recommended < self.largest else []), *self._warnings()])

    @property
    def table(self) -> Table:
        """A row for each size that was tried."""
        heads = (
            text("batch_size.run", "run"),
            text("batch_size.size", "micro-batch"),
            text("batch_size.peak", "peak memory"),
            text("batch_size.share", "of capacity"),
            text("batch_size.seconds", "step time"),
            text("batch_size.speed", "samples/s"),
            text("batch_size.result", "result"),
        )
        rows = tuple(self._row(attempt) for attempt in self.attempts)
        return Table(heads, rows, right={1, 2, 3, 4, 5}, title=self._title())

    def _title(self) -> str:
        return text(
            "batch_size.title",
            "{model} on {device}, {capacity} for its steps: largest micro-batch {largest}, recommended {recommended}",
            model=self.model,
            device=text("batch_size.simulated", "a simulated {device}", device=self.device)
            if self.simulated
            else self.device,
            capacity=format_bytes(self.capacity_bytes),
            largest=self.largest,
            recommended=self.recommended,
        )

    def _row(self, attempt: Attempt) -> tuple[str, ...]:
        measured = attempt.measured
        kind = _kind(attempt)
        if measured is None:
            return (kind, str(attempt.size), "–", "–", "–", "–", text("batch_size.ran_out", "out of memory"))
        return (
            kind,
            str(attempt.size),
            format_bytes(measured.peak_bytes),
            f"{measured.peak_bytes / max(1, self.capacity_bytes):.1%}",
            format_seconds(measured.seconds),
            format_number(attempt.samples_per_second),
            self._result(attempt),
        )

    def _result(self, attempt: Attempt) -> str:
        if attempt.size == self.recommended:
            return text("batch_size.recommended", "ran, recommended")
        if attempt.measured is not None and attempt.measured.retries:
            return text("batch_size.strained", "ran after giving back its cache, not counted")
        return text("batch_size.ran", "ran")

    def _warnings(self) -> tuple[str, ...]:
        if not self.found.failed or not self.largest:
            return self.notes
        recovered = text(
            "batch_size.recovered",
            "{count} of {runs} sizes did not run: memory is not as estimated here, or does not grow in a line, so sizes between "
            "were tried.",
            count=self.found.failed,
            runs=len(self.attempts),
        )
        return (recovered, *self.notes)

    def __str__(self) -> str:
        return f"{self.table.text()}\n{self.reason}"

    def __repr__(self) -> str:
        return text(
            "batch_size.repr",
            "<FoundBatchSize {model}: largest {largest}, recommended {recommended}, {runs} sizes tried>",
            model=self.model,
            largest=self.largest,
            recommended=self.recommended,
            runs=len(self.attempts),
        )

    def _repr_html_(self) -> str:
        from html import escape

        return f"{self.table.html()}<div>{escape(self.reason)}</div>"


def _kind(attempt: Attempt) -> str:
    if attempt.kind == "probe":
        return text("batch_size.probe", "probe")
    return text("batch_size.trial", "trial") if attempt.kind == "trial" else text("batch_size.timing", "timing")


def _limit(found: FoundBatchSize) -> str:
    if not found.capacity_bytes:
        return text(
            "batch_size.no_room",
            "Nothing was tried: other processes hold so much of the card that nothing is left beside the larger of 5 % and "
            "1 GiB that stays free for them.",
        )
    if not found.largest:
        return text(
            "batch_size.none",
            "Not even a micro-batch of {smallest} runs in {capacity}. What helps: lab.advise, a smaller model, or a "
            "larger card.",
            smallest=min((attempt.size for attempt in found.attempts), default=1),
            capacity=format_bytes(found.capacity_bytes),
        )
    if found.largest == found.found.at_most:
        return text(
            "batch_size.at_most",
            "{largest} is the largest size that was to be tried: at_most, or the samples of the data. Memory would take more.",
            largest=found.largest,
        )
    peak = found.found.ran[-1].measured
    return text(
        "batch_size.by_memory",
        "{largest} samples took {peak} of {capacity}; noticeably more would not be sure to run.",
        largest=found.largest,
        peak=format_bytes(None if peak is None else peak.peak_bytes),
        capacity=format_bytes(found.capacity_bytes),
    )


def _knee(found: FoundBatchSize) -> str:
    return text(
        "batch_size.knee",
        "A micro-batch of {recommended} has the same throughput to 5 % and leaves memory free.",
        recommended=found.recommended,
    )
