"""The report: how near the predictions are to the card, against what is promised, with every miss."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.gpu.estimates import Estimate
from benchmarks.gpu.measuring import Truth
from benchmarks.gpu.rows import Row
from bigmodel_lab.units import format_bytes


@dataclass(frozen=True)
class Goals:
    """What is promised of the predictions."""

    median: float
    """Largest median of the relative error of peak allocated."""
    high: float
    """Its largest 95th percentile."""
    most: float
    """Its largest maximum."""
    inside: float = 0.95
    """Smallest share of ranges that hold the peak reserved."""
    half_width: float = 0.07
    """Largest median of their half widths."""
    above: int | None = None
    """Most peaks that lie above their range, each a "fits" that may run out; None asks for nothing."""


REAL = Goals(0.01, 0.03, 0.05)
"""Of a real card, with workspaces that nobody publishes."""
EMULATED = Goals(0.0005, 0.005, 0.01, above=0)
"""Of PyTorch's own code over an emulated card, where every size is written in its source."""


@dataclass(frozen=True)
class Summary:
    """How near the predictions are."""

    compared: int
    """Cases with both, from a clean state."""
    error_median: float
    """Of the absolute relative error of peak allocated."""
    error_95: float
    """Its 95th percentile, by nearest rank."""
    error_most: float
    """Its maximum."""
    inside: float
    """Share of the ranges that hold the peak reserved."""
    half_width: float
    """Median half width of the ranges, relative to their middles."""
    above: int = 0
    """Peaks reserved that lie above their range."""

    def verdicts(self, goals: Goals = REAL) -> list[tuple[bool, str]]:
        """What is promised, each with whether it holds.

        Args:
            goals: What is promised.
        """
        return [
            (self.error_median <= goals.median, f"median error {self.error_median:.3%} (at most {goals.median:.2%})"),
            (self.error_95 <= goals.high, f"95th percentile {self.error_95:.2%} (at most {goals.high:.1%})"),
            (self.error_most <= goals.most, f"largest error {self.error_most:.2%} (at most {goals.most:.0%})"),
            (self.inside >= goals.inside, f"reserved inside its range {self.inside:.1%} (at least {goals.inside:.0%})"),
            (
                self.half_width <= goals.half_width,
                f"range ±{self.half_width:.2%} (median, at most ±{goals.half_width:.0%})",
            ),
            *(
                [(self.above <= goals.above, f"{self.above} peaks reserved above the range (at most {goals.above})")]
                if goals.above is not None
                else []
            ),
        ]


def summary(rows: Iterable[Row]) -> Summary | None:
    """The figures over all rows that can be compared; None where there are none.

    Args:
        rows: Of any cases.
    """
    pairs = [row.compared for row in rows if row.compared is not None]
    if not pairs:
        return None
    errors = sorted(abs(found.error(truth)) for found, truth in pairs)
    return Summary(
        compared=len(pairs),
        error_median=median(errors),
        error_95=errors[math.ceil(0.95 * len(errors)) - 1],
        error_most=errors[-1],
        inside=sum(found.covers(truth) for found, truth in pairs) / len(pairs),
        half_width=median(found.half_width for found, _ in pairs),
        above=sum(truth.peak_reserved_bytes > found.reserved_range[1] for found, truth in pairs),
    )


def report(rows: Sequence[Row], card: str, limits: Sequence[str] = (), goals: Goals = REAL) -> str:
    """Everything as text.

    Args:
        rows: In the order of the grid.
        card: Name of the card and version of torch.
        limits: Largest micro-batches under a cap, a line each.
        goals: What is promised.
    """
    found = summary(rows)
    if found is None:
        verdicts = ["Nothing to compare: no case has both a measurement and an estimate."]
    else:
        verdicts = [f"{found.compared} cases compared."]
        verdicts += [f"{'pass' if passed else 'FAIL'}  {text}" for passed, text in found.verdicts(goals)]
    capped = ["", "largest micro-batch under a cap of the allocator:", *limits] if limits else []
    return "\n".join([card, "", *verdicts, *capped, *_misses(rows, goals), *_missing(rows), "", *table(rows)])


def table(rows: Sequence[Row]) -> list[str]:
    """One line a case."""
    width = max((len(row.case) for row in rows), default=4)
    head = (
        f"{'case':<{width}}  {'allocated':>10}{'estimate':>11}{'error':>9}  {'reserved':>10}  {'range':<23}{'outside':>10}"
        f"{'seconds':>9}"
    )
    return [head, *(f"{row.case:<{width}}  {_figures(row)}" for row in rows)]


def is_miss(row: Row, goals: Goals = REAL) -> bool:
    """The error is above what is promised at most, or the peak reserved lies outside its range."""
    pair = row.compared
    return pair is not None and (abs(pair[0].error(pair[1])) > goals.most or not pair[0].covers(pair[1]))


def _figures(row: Row) -> str:
    truth, found = row.truth, row.estimate
    if truth is None and found is None:
        return row.why_not
    allocated = format_bytes(truth and truth.peak_allocated_bytes)
    predicted = format_bytes(found and found.peak_allocated_bytes)
    error = f"{found.error(truth):+.2%}" if found and truth else "–"
    reserved = format_bytes(truth and truth.peak_reserved_bytes)
    mark = " " if found is None or truth is None or found.covers(truth) else "!"
    spread = " – ".join(map(format_bytes, found.reserved_range)) if found else row.no_estimate[:22] or "–"
    outside = format_bytes(truth and truth.outside_bytes)
    seconds = f"{truth.seconds:.2f}" if truth else "–"
    return f"{allocated:>10}{predicted:>11}{error:>9}  {reserved:>10}{mark} {spread:<23}{outside:>10}{seconds:>9}"


def _misses(rows: Sequence[Row], goals: Goals) -> list[str]:
    """Each miss with where the peak was expected and where it was."""
    lines = [_miss(row.case, *pair) for row in rows if is_miss(row, goals) and (pair := row.compared)]
    return ["", f"{len(lines)} misses:", *lines] if lines else []


def _miss(case: str, found: Estimate, truth: Truth) -> str:
    share = truth.peak_reserved_bytes / truth.peak_allocated_bytes
    return (
        f"  {case}: allocated {found.error(truth):+.2%} ({found.peak_allocated_bytes:,} for {truth.peak_allocated_bytes:,}), "
        f"reserved {truth.peak_reserved_bytes:,} ({share:.2f} of allocated) for {found.reserved_range[0]:,} to "
        f"{found.reserved_range[1]:,}; expected at {found.moment}, was {_where(truth)}"
    )


def _where(truth: Truth) -> str:
    """The phase at whose end the whole peak had been seen."""
    phase = truth.peaks_so_far.index(truth.peaks_so_far[-1])
    return "while loading" if phase == 0 else f"in step {phase}"


def _missing(rows: Sequence[Row]) -> list[str]:
    """What was not run, was not clean, or was not estimated, with the reasons."""
    not_run = [f"  {row.case}: {row.why_not}" for row in rows if row.truth is None]
    unclean = [
        f"  {row.case}: {row.truth.leftover_bytes:,} B were left on the card"
        for row in rows
        if row.truth is not None and row.truth.leftover_bytes
    ]
    unknown = [f"  {row.case}: {row.no_estimate}" for row in rows if row.estimate is None and row.no_estimate]
    parts = [("not measured", not_run), ("not clean, left out", unclean), ("not estimated", unknown)]
    return [line for title, lines in parts if lines for line in ("", f"{len(lines)} {title}:", *lines)]
