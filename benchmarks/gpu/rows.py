"""One row a case: what was measured, what was predicted, and why either is missing. As data and as JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from benchmarks.gpu.cases import Case
from benchmarks.gpu.estimates import Estimate
from benchmarks.gpu.measuring import Truth


@dataclass(frozen=True)
class Row:
    """A case and what became of it."""

    case: str
    """Its name."""
    truth: Truth | None = None
    """What the card said; None where it was not run."""
    why_not: str = ""
    """Why there is no truth."""
    estimate: Estimate | None = None
    """What was predicted; None where nothing was."""
    no_estimate: str = ""
    """Why there is no prediction."""
    recording: str = ""
    """File of the allocator's events; empty where they were not kept."""

    @property
    def compared(self) -> tuple[Estimate, Truth] | None:
        """Both, of a clean run; None where one is missing, or the card was not empty before."""
        if self.estimate is None or self.truth is None or self.truth.leftover_bytes:
            return None
        return self.estimate, self.truth

    def predicted(self, found: Estimate | None, why_not: str) -> Row:
        """The row with this prediction in place of another."""
        return replace(self, estimate=found, no_estimate=why_not)

    def to_json(self) -> dict[str, Any]:
        """As values of JSON."""
        return asdict(self)


def from_json(values: dict[str, Any]) -> Row:
    """A row from its record.

    Args:
        values: As :meth:`Row.to_json` gave them.
    """
    truth, found = values["truth"], values["estimate"]
    return Row(
        **{
            **values,
            "truth": truth and Truth(**{**truth, "peaks_so_far": tuple(truth["peaks_so_far"])}),
            "estimate": found and Estimate(**{**found, **_tuples(found)}),
        }
    )


def rows_of(cases: tuple[Case, ...], known: list[Row]) -> list[Row]:
    """A row for each case: the known one, or an empty one.

    Args:
        cases: In the order that is wanted.
        known: Rows by their cases' names, some of cases that no longer exist.
    """
    by_name = {row.case: row for row in known}
    return [by_name.get(case.name, Row(case.name, why_not="not run")) for case in cases]


def _tuples(found: dict[str, Any]) -> dict[str, Any]:
    least, most = found["reserved_range"]
    return {"reserved_range": (least, most), "notes": tuple(found["notes"])}
