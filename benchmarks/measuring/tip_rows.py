"""Tips on running trainings: each is applied, measured, and undone; predicted and measured side by side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import bigmodel_lab as lab
from bigmodel_lab._table import Table
from bigmodel_lab.tips.base import Proposal
from bigmodel_lab.units import format_bytes

_ENDLESS = 10**6


@dataclass(frozen=True)
class Row:
    """One tip on one model; None is not predicted, or not measured."""

    model: str
    """Name of the model."""
    tip: str
    """Name of the tip."""
    predicted_bytes: tuple[int, int, int] | None
    """Peak afterwards; the least and the most that were expected."""
    measured_bytes: tuple[int, int] | None
    """Peak before and after."""
    expected_time: tuple[float, float] | None
    """Time of a step afterwards, as a multiple of that before: the least and the most that were expected."""
    measured_seconds: tuple[float, float] | None
    """Median time of a step before and after."""
    state: str
    """What became of it: kept, reverted, or inconclusive."""

    @property
    def memory_agrees(self) -> bool | None:
        """The measured peak lies within the range; None where there are not both."""
        if self.predicted_bytes is None or self.measured_bytes is None:
            return None
        _, least, most = self.predicted_bytes
        return least <= self.measured_bytes[1] <= most

    @property
    def error(self) -> float | None:
        """Predicted peak over the measured one, less 1."""
        if self.predicted_bytes is None or self.measured_bytes is None:
            return None
        return self.predicted_bytes[0] / self.measured_bytes[1] - 1

    @property
    def time_ratio(self) -> float | None:
        """Time of a step after over before."""
        return None if self.measured_seconds is None else self.measured_seconds[1] / self.measured_seconds[0]

    @property
    def time_agrees(self) -> bool | None:
        """The ratio lies within the range, give or take a fiftieth of it, which is noise; None where there are not both."""
        ratio = self.time_ratio
        if ratio is None or self.expected_time is None:
            return None
        least, most = self.expected_time
        return 0.98 * least <= ratio <= 1.02 * most


def measured(model: str, device: str, **settings: object) -> Iterator[Row]:
    """A row for each tip that can be applied to this model and expects something.

    Args:
        model: A documented model.
        device: As for ``lab.fit``.
        settings: As there.
    """
    run = lab.fit(model, device=device, precision="fp32", epochs=_ENDLESS, background=True, **settings)
    try:
        for proposal in run.tips():
            if proposal.can_apply and (proposal.memory is not None or proposal.speed is not None):
                yield _row(run, model, proposal)
    finally:
        run.stop()
        run.wait()


def _row(run: lab.TrainingRun, model: str, proposal: Proposal) -> Row:
    outcome = run.apply(proposal.tip)
    if outcome.data.get("can_undo"):
        run.undo(proposal.tip)
    memory, speed = proposal.memory, proposal.speed
    peaks, seconds = (outcome.data.get(f"measured_{name}") for name in ("allocated_bytes", "step_seconds"))
    return Row(
        model,
        proposal.tip,
        None if memory is None else (memory.after_bytes, memory.least_bytes, memory.most_bytes),
        None if peaks is None else tuple(peaks),
        None if speed is None else (speed.least, speed.most),
        None if seconds is None else tuple(seconds),
        outcome.state,
    )


def memory_table(rows: Sequence[Row], title: str) -> str:
    """Peaks of those that have both.

    Args:
        rows: Of any models.
        title: Says what was measured, and on what.
    """
    heads = ("model", "tip", "before", "predicted", "measured", "error", "within", "state")
    return Table(heads, tuple(map(_memory_cells, with_memory(rows))), right={2, 4, 5}, title=title).text()


def time_table(rows: Sequence[Row], title: str) -> str:
    """Times of those that have both.

    Args:
        rows: Of any models.
        title: Says what was measured, and on what.
    """
    heads = ("model", "tip", "before", "after", "expected", "measured", "within", "state")
    return Table(heads, tuple(map(_time_cells, with_time(rows))), right={2, 3, 5}, title=title).text()


def with_memory(rows: Sequence[Row]) -> list[Row]:
    """Those whose peak was predicted and measured."""
    return [row for row in rows if row.memory_agrees is not None]


def with_time(rows: Sequence[Row]) -> list[Row]:
    """Those whose time was expected and measured."""
    return [row for row in rows if row.time_agrees is not None]


def _memory_cells(row: Row) -> tuple[str, ...]:
    assert row.predicted_bytes is not None
    assert row.measured_bytes is not None
    predicted, least, most = map(format_bytes, row.predicted_bytes)
    before, after = map(format_bytes, row.measured_bytes)
    error = f"{100 * (row.error or 0.0):+.1f} %"
    return (
        row.model,
        row.tip,
        before,
        f"{predicted} ({least} – {most})",
        after,
        error,
        _within(row.memory_agrees),
        row.state,
    )


def _time_cells(row: Row) -> tuple[str, ...]:
    assert row.expected_time is not None
    assert row.measured_seconds is not None
    least, most = row.expected_time
    before, after = (f"{1e3 * seconds:.3g} ms" for seconds in row.measured_seconds)
    ratio = f"× {row.time_ratio:.3g}"
    return (
        row.model,
        row.tip,
        before,
        after,
        f"× {least:.2g} – {most:.2g}",
        ratio,
        _within(row.time_agrees),
        row.state,
    )


def _within(agrees: bool | None) -> str:
    return "yes" if agrees else "NO"
