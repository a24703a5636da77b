"""What every operator takes of a card, beside what a trace says of it. One command for a machine with a GPU.

    python benchmarks/gpu/operators.py                        measures every case and keeps a record
    python benchmarks/gpu/operators.py --only softmax,conv    some of them; prints and keeps nothing
    python benchmarks/gpu/operators.py --list                 the cases
    python benchmarks/gpu/operators.py --show "gelu fp32"     both sides of one case, request by request
    python benchmarks/gpu/operators.py --against RECORD       predicts the cases of a record; needs no GPU

Each case runs forward and backward twice, and the second time counts, when the workspaces of libraries are there: most
that was asked for in either pass, and what was kept. Bytes are as asked for, before rounding; a difference below one
block of the allocator, 512 bytes, is none. Differences that have a reason are named in ``operator_sweep/exceptions.py``.
Exit status 2: there is no CUDA card; 1: there are differences without a name, or names without a difference.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch

from benchmarks.gpu.operator_sweep import operators, prediction, truth
from benchmarks.gpu.operator_sweep.case import Operator
from benchmarks.gpu.operator_sweep.exceptions import reason_for, unused
from benchmarks.gpu.operator_sweep.phases import Bytes
from benchmarks.measuring.machine import RECORDS
from bigmodel_lab.errors import BigModelLabError
from bigmodel_lab.memory.cards import card, card_at_hand
from bigmodel_lab.trace import Target

NO_CARD = "operators measures on a CUDA card and PyTorch finds none here; --against works without one."
BLOCK = 512
"""Bytes; the allocator gives no less, so that smaller differences are none."""
_EMULATED = "EMU_CARD"
"""Set in the environment where the card is emulated."""


@dataclass(frozen=True)
class Difference:
    """A case that the trace sees otherwise than the card."""

    title: str
    """Of the case."""
    truth: Bytes
    """On the card."""
    prediction: Bytes | None
    """Of the trace; None where there is none."""
    refusal: str = ""
    """Why there is none."""

    @property
    def reason(self) -> str:
        """By name; empty where nobody knows one."""
        return reason_for(self.title)

    def __str__(self) -> str:
        said = self.prediction.values() if self.prediction else self.refusal
        return f"{self.title}: {self.truth.values()} on the card, {said} in the trace. {self.reason or 'NO REASON'}"


@dataclass(frozen=True)
class Record:
    """What a card took."""

    card: str
    """Its name in cards.json."""
    facts: Mapping[str, Any]
    """Card, versions, and whether it was emulated."""
    cases: Mapping[str, Bytes]
    """By title."""
    refused: Mapping[str, str]
    """Cases that the card did not run, with its words."""


def main(words: Sequence[str] | None = None) -> int:
    """Do what the command line says.

    Args:
        words: The command line; None is that of the process.
    """
    wanted = _arguments().parse_args(words)
    if wanted.list:
        print("\n".join(chosen(wanted.only)), f"{len(chosen(wanted.only))} cases", sep="\n")
        return 0
    if wanted.against:
        return _against(Path(wanted.against), wanted.only)
    if not torch.cuda.is_available():
        print(NO_CARD, file=sys.stderr)
        return 2
    if wanted.show:
        _show(operators()[wanted.show])
        return 0
    record = measured(chosen(wanted.only).values())
    if not wanted.only:
        print("Kept:", kept(record, Path(wanted.out)))
    return report(record, differences(record, record.cases), whole=not wanted.only)


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="parts of titles of cases, separated by commas")
    parser.add_argument("--list", action="store_true", help="print the titles of the cases")
    parser.add_argument("--show", default="", help="print both sides of the case with this title")
    parser.add_argument("--against", default="", help="a record: predict its cases")
    parser.add_argument("--out", default=str(RECORDS), help="folder of the record")
    return parser


def chosen(only: str) -> dict[str, Operator]:
    """The cases whose titles have one of these parts.

    Args:
        only: Parts separated by commas; empty takes all.
    """
    parts = [part for part in only.split(",") if part]
    return {title: case for title, case in operators().items() if not parts or any(part in title for part in parts)}


def measured(cases: Iterable[Operator]) -> Record:
    """What the card at hand takes for each.

    Args:
        cases: In any order.
    """
    took = {case.title: _measured(case) for case in cases}
    found = {title: said for title, said in took.items() if isinstance(said, Bytes)}
    return Record(_name(), _facts(), found, {title: said for title, said in took.items() if isinstance(said, str)})


def _measured(case: Operator) -> Bytes | str:
    try:
        return truth.measured(case)
    except (RuntimeError, NotImplementedError) as error:
        return str(error).partition("\n")[0]


def differences(record: Record, titles: Iterable[str]) -> list[Difference]:
    """Cases that the trace sees otherwise.

    Args:
        record: What the card took.
        titles: Which of its cases; those that are in the sweep no more are left out.
    """
    target = Target.of(card(record.card))
    found = (_compared(operators()[title], record.cases[title], target) for title in titles if title in operators())
    return [difference for difference in found if difference is not None]


def _compared(case: Operator, took: Bytes, target: Target) -> Difference | None:
    try:
        said = prediction.predicted(case, target)
    except (BigModelLabError, RuntimeError, AssertionError) as error:
        return Difference(case.title, took, None, str(error).partition("\n")[0])
    return Difference(case.title, took, said) if took.largest_error(said) >= BLOCK else None


def report(record: Record, found: Sequence[Difference], *, whole: bool) -> int:
    """Print what differs; 1 where something has no name, or a name no difference.

    Args:
        record: What the card took.
        found: Where the trace differs.
        whole: All cases were compared.
    """
    for difference in found:
        print(difference)
    nameless = [difference.title for difference in found if not difference.reason]
    idle = unused([difference.title for difference in found]) if whole else []
    print(
        f"{record.card}: {len(record.cases)} operators compared, {len(found)} differ, {len(nameless)} of them without a "
        f"name; {len(record.refused)} do not run there."
    )
    if idle:
        print("Names without a difference:", *idle)
    return int(bool(nameless))


def kept(record: Record, folder: Path) -> Path:
    """Write the record, a case a line, and return its path.

    Args:
        record: What the card took.
        folder: Where.
    """
    lines = [f"  {json.dumps(title)}: {json.dumps(took.values())}" for title, took in record.cases.items()]
    head = json.dumps({"card": record.card, "facts": record.facts, "refused": record.refused}, indent=1)
    path = folder / f"operators_{record.card.replace(' ', '_')}.json"
    path.write_text(head.removesuffix("\n}") + ',\n "cases": {\n' + ",\n".join(lines) + "\n }\n}\n", "utf-8")
    return path


def read(path: Path) -> Record:
    """A record as :func:`kept` wrote it.

    Args:
        path: Of the file.
    """
    values = json.loads(path.read_text("utf-8"))
    return Record(
        values["card"],
        values["facts"],
        {title: Bytes(*took) for title, took in values["cases"].items()},
        values["refused"],
    )


def _against(path: Path, only: str) -> int:
    record = read(path)
    titles = [title for title in record.cases if title in chosen(only)]
    return report(record, differences(record, titles), whole=not only)


def _name() -> str:
    facts = torch.cuda.get_device_properties(0)
    known = card_at_hand(facts.name, facts.total_memory)
    return facts.name if known is None else known.name


def _facts() -> dict[str, Any]:
    facts = torch.cuda.get_device_properties(0)
    return {
        "emulated": _EMULATED in os.environ,
        "torch": torch.__version__,
        "name": facts.name,
        "capability": [facts.major, facts.minor],
        "multiprocessors": facts.multi_processor_count,
    }


def _show(case: Operator) -> None:
    for side, events in (("card", truth.events(case)), ("trace", prediction.events(case, Target.of(card(_name()))))):
        print(side)
        for size, what in events:
            print(f"{size:>+16,} {what}")


if __name__ == "__main__":
    sys.exit(main())
