"""What training steps really take of a card, beside what the library predicts. One command for a machine with a GPU.

    python benchmarks/gpu/memory_truth.py                     the whole grid, at most 8 minutes
    python benchmarks/gpu/memory_truth.py --minutes 3 --only gpt,bert
    python benchmarks/gpu/memory_truth.py --list              the cases
    python benchmarks/gpu/memory_truth.py --estimate-only     the predictions alone; needs no GPU
    python benchmarks/gpu/memory_truth.py --against RECORD    predicts the cases of a record again; needs no GPU
    python benchmarks/gpu/memory_truth.py --emulated          PyTorch's CUDA build over an emulated card: measures alone the
                                                              cases without workspaces of cuDNN, which are 0 there

Each case loads a model and makes two optimizer steps by the very function that trains, from an empty allocator without
cuBLAS workspaces. Kept in ``benchmarks/records``: peak allocated, reserved, active and requested, what the card holds
outside the allocator, the time, and the prediction. The allocator's own events of some cases go to ``tests/recordings``.
Needs PyTorch, NumPy and this checkout. Exit status 2: there is no CUDA card; 1: something promised does not hold.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch

from benchmarks.gpu import limits
from benchmarks.gpu.card_facts import CardFacts, card_facts
from benchmarks.gpu.cases import Case, find, grid
from benchmarks.gpu.estimates import estimate
from benchmarks.gpu.limits import Limit
from benchmarks.gpu.measuring import CudaCard
from benchmarks.gpu.report import EMULATED, REAL, Goals, report, summary, table
from benchmarks.gpu.rows import Row, from_json, rows_of
from benchmarks.gpu.running import OUT_OF_TIME, Deadline, run_all, run_case, run_here
from benchmarks.measuring.machine import RECORDS, ROOT, record
from bigmodel_lab.memory.cards import Card

NO_CARD = (
    "memory_truth measures on a CUDA card and PyTorch finds none here; --estimate-only and --against work without one."
)


def main(words: Sequence[str] | None = None) -> int:
    """Do what the command line says.

    Args:
        words: The command line; None is that of the process.
    """
    wanted = arguments().parse_args(words)
    cases = chosen(wanted.only)
    if wanted.list:
        print("\n".join(case.name for case in cases), f"{len(cases)} cases", sep="\n")
        return 0
    if wanted.estimate_only:
        return _print_estimates(cases, wanted.gpu)
    if wanted.against:
        return _against(Path(wanted.against))
    if not torch.cuda.is_available():
        print(NO_CARD, file=sys.stderr)
        return 2
    if wanted.case:
        print(json.dumps(run_here(find(wanted.case), CudaCard(), Path(wanted.recordings)).to_json()))
        return 0
    return _measure_emulated(cases, wanted) if wanted.emulated else _measure(cases, wanted)


def arguments() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=8.0, help="after these nothing new begins")
    parser.add_argument("--only", default="", help="parts of names of cases, separated by commas")
    parser.add_argument("--list", action="store_true", help="print the names of the cases")
    parser.add_argument("--estimate-only", action="store_true", help="predict and do not measure")
    parser.add_argument("--gpu", default="H200", help="card that --estimate-only predicts for")
    parser.add_argument("--against", default="", help="a record: predict its cases again and rewrite it")
    parser.add_argument("--emulated", action="store_true", help="the card is emulated, and the record says so")
    parser.add_argument("--case", default="", help="run this one case and print its row as JSON")
    parser.add_argument("--out", default=str(RECORDS), help="folder of the record")
    parser.add_argument("--recordings", default=str(ROOT / "tests" / "recordings"), help="folder of allocator events")
    return parser


def chosen(only: str) -> tuple[Case, ...]:
    """The cases whose names have one of these parts.

    Args:
        only: Parts separated by commas; empty takes all.
    """
    parts = [part for part in only.split(",") if part]
    return tuple(case for case in grid() if not parts or any(part in case.name for part in parts))


def predicted(rows: Sequence[Row], gpu: str | Card, deadline: Deadline) -> list[Row]:
    """The rows with a prediction for each, as far as the time suffices.

    Args:
        rows: With or without measurement.
        gpu: The card.
        deadline: When to stop beginning.
    """
    return [
        row.predicted(None, OUT_OF_TIME) if deadline.passed else row.predicted(*estimate(find(row.case), gpu))
        for row in rows
    ]


@dataclass(frozen=True)
class Found:
    """Everything of one run."""

    facts: CardFacts
    """The card."""
    rows: list[Row]
    """In the order of the grid."""
    limits: list[Limit]
    """Largest micro-batches."""
    is_emulated: bool = False
    """PyTorch's own code ran, over a card that is not there."""

    @property
    def goals(self) -> Goals:
        """What is promised."""
        return EMULATED if self.is_emulated else REAL

    def predicted(self, deadline: Deadline) -> Found:
        """The same with predictions, as far as the time suffices.

        Args:
            deadline: When to stop beginning.
        """
        card = self.facts.card
        found = limits.predicted(self.limits, card, deadline)
        return replace(self, rows=predicted(self.rows, card, deadline), limits=found)

    def figures(self) -> dict[str, Any]:
        """As values of JSON."""
        whole = summary(self.rows)
        return {
            "card": asdict(self.facts),
            "is_emulated": self.is_emulated,
            "summary": whole and asdict(whole),
            "limits": [limits.to_json(limit) for limit in self.limits],
            "rows": [row.to_json() for row in self.rows],
        }

    def text(self) -> str:
        """The report."""
        card = f"{self.facts} (emulated)" if self.is_emulated else str(self.facts)
        return report(self.rows, card, list(map(str, self.limits)), self.goals)

    @property
    def status(self) -> int:
        """1 where something promised does not hold, else 0."""
        whole = summary(self.rows)
        verdicts = [passed for passed, _ in whole.verdicts(self.goals)] if whole else []
        return int(False in [*verdicts, *(limit.holds for limit in self.limits)])


def from_record(values: dict[str, Any]) -> Found:
    """What a record holds, with a row for every case of today's grid.

    Args:
        values: As :meth:`Found.figures` gave them.
    """
    facts = CardFacts(**{**values["card"], "capability": tuple(values["card"]["capability"])})
    is_emulated = values.get("is_emulated", False)
    known = [from_json(row) for row in values["rows"]]
    kept = [row for row in known if not find(row.case).takes_cudnn]
    rows = kept if is_emulated else rows_of(grid(), known)
    return Found(facts, rows, [limits.from_json(limit) for limit in values.get("limits", [])], is_emulated)


def _measure(cases: tuple[Case, ...], wanted: argparse.Namespace) -> int:
    deadline, out, recordings = Deadline.after(wanted.minutes), Path(wanted.out), Path(wanted.recordings)
    card = CudaCard()
    facts = card_facts(card)
    print(facts, flush=True)
    rows = []
    for row in run_all(cases, lambda case: run_case(case, card, recordings), deadline):
        rows.append(row)
        print(f"{len(rows):>3}/{len(cases)}  {table([row])[1]}", flush=True)
    found = Found(facts, rows, [] if wanted.only else limits.measured(card, deadline))
    record("memory_truth", found.figures(), found.text(), out)  # already now: predicting may outlast the machine's time
    found = found.predicted(deadline)
    print(found.text())
    print("Kept:", *record("memory_truth", found.figures(), found.text(), out))
    return found.status


def _measure_emulated(cases: tuple[Case, ...], wanted: argparse.Namespace) -> int:
    """What PyTorch's own code asks for; predicted afterwards by ``--against``, as by people without a card."""
    deadline, card = Deadline.after(wanted.minutes), CudaCard()
    facts = card_facts(card)
    known = [replace(case, traced=False) for case in cases if not case.takes_cudnn]
    rows = list(run_all(tuple(known), lambda case: run_case(case, card, Path(wanted.recordings)), deadline))
    found = Found(facts, rows, [], is_emulated=True)
    name = re.sub(r"[^a-z0-9]+", "_", facts.name.lower().removeprefix("nvidia ").removeprefix("tesla "))
    print("Kept:", *record(f"memory_truth_emulated_{name}", found.figures(), found.text(), Path(wanted.out)))
    return 0


def _print_estimates(cases: tuple[Case, ...], gpu: str) -> int:
    for nth, case in enumerate(cases, start=1):
        (row,) = predicted([Row(case.name)], gpu, Deadline.after(1))
        seconds = f"{row.estimate.seconds:.2f} s" if row.estimate else row.no_estimate
        print(f"{nth:>3}/{len(cases)}  {table([row])[1]}  {seconds}", flush=True)
    return 0


def _against(path: Path) -> int:
    """Predict again what a record measured, and put the new predictions into it."""
    values = json.loads(path.read_text("utf-8"))
    found = from_record(values).predicted(Deadline.after(60))
    path.write_text(json.dumps({**values, **found.figures()}, indent=1) + "\n", "utf-8")
    kept = path.with_suffix(".md")
    kept.write_text(_with_report(kept.read_text("utf-8"), found.text()), "utf-8")
    print(found.text())
    return found.status


def _with_report(kept: str, text: str) -> str:
    """The text of a record with another report in its block."""
    return f"{kept.partition('```')[0]}```\n{text}\n```\n"


if __name__ == "__main__":
    sys.exit(main())
