"""What programs that are unlike the textbook's take of a card, beside what the library predicts.

    python benchmarks/gpu/odd_programs.py                     measures all where torch.cuda answers, and predicts where it can
    python benchmarks/gpu/odd_programs.py --only sparse,ctc
    python benchmarks/gpu/odd_programs.py --against RECORD    predicts a record's programs again; needs no GPU

Two optimizer steps of each from an empty allocator: peak allocated and reserved. An emulated card (``--emulated``) has no values:
programs whose shapes depend on them are left out there, and the record says so. Exit status 1: an allocated peak is missed by
more than 1 %, or a reserved one lies above its range; 2: there is no card.
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch

import bigmodel_lab as lab
from benchmarks.gpu.measuring import CudaCard
from benchmarks.gpu.odd_cases import PROGRAMS
from benchmarks.gpu.odd_run import Program, run, wrapped
from benchmarks.measuring.machine import RECORDS, record
from bigmodel_lab.errors import BigModelLabError

MOST = 0.01
"""Largest relative error of the peak allocated."""


@dataclass(frozen=True)
class Row:
    """One program; bytes."""

    program: str
    """Its name."""
    allocated: int | None = None
    """Measured; None where it was not."""
    reserved: int | None = None
    """Measured."""
    predicted: int | None = None
    """Peak allocated; None where there is no estimate."""
    reserved_range: tuple[int, int] | None = None
    """Predicted."""
    notes: tuple[str, ...] = ()
    """Of the estimate, or why there is none."""

    @property
    def error(self) -> float | None:
        """Of the peak allocated; above 0 is too much."""
        return (self.predicted - self.allocated) / self.allocated if self.predicted and self.allocated else None

    @property
    def holds(self) -> bool:
        """Within :data:`MOST`, and the reserved peak not above its range; true where nothing can be compared."""
        if self.error is None:
            return True
        assert self.reserved is not None
        assert self.reserved_range is not None
        return abs(self.error) <= MOST and self.reserved <= self.reserved_range[1]

    def __str__(self) -> str:
        figures = (self.allocated, self.predicted, self.reserved, *(self.reserved_range or (None, None)))
        numbers = "".join(f"{'–' if one is None else format(one, ','):>15}" for one in figures)
        error = "–" if self.error is None else f"{self.error:+.3%}"
        return f"{self.program:<22}{numbers}{error:>10}{'' if self.holds else '  !'}"


def main(words: Sequence[str] | None = None) -> int:
    """Do what the command line says.

    Args:
        words: The command line; None is that of the process.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="parts of names, separated by commas")
    parser.add_argument("--against", default="", help="a record: predict its programs again and rewrite it")
    parser.add_argument("--emulated", default="", help="the card is emulated: its name, which the record then bears")
    parser.add_argument("--out", default=str(RECORDS), help="folder of the record")
    wanted = parser.parse_args(words)
    if wanted.against:
        return _again(Path(wanted.against))
    if not torch.cuda.is_available():
        print(
            "odd_programs measures on a CUDA card and PyTorch finds none here; --against works without one.",
            file=sys.stderr,
        )
        return 2
    parts = [part for part in wanted.only.split(",") if part]
    chosen = [p for p in PROGRAMS if not parts or any(part in p.name for part in parts)]
    card = CudaCard()
    name = wanted.emulated or torch.cuda.get_device_name(0)
    rows = []
    for program in chosen:
        rows.append(predicted(measured(program, card, emulated=bool(wanted.emulated)), program, name))
        print(rows[-1], flush=True)
    figures = {"card": name, "is_emulated": bool(wanted.emulated), "rows": [asdict(row) for row in rows]}
    print(
        "Kept:", *record("odd_programs", figures, report(rows, name, emulated=bool(wanted.emulated)), Path(wanted.out))
    )
    return int(not all(row.holds for row in rows))


def measured(program: Program, card: CudaCard, *, emulated: bool) -> Row:
    """What a card says of a program.

    Args:
        program: Which.
        card: Where.
        emulated: The card has no values.
    """
    if emulated and (program.by_values or program.shell == "ddp"):  # nor does a reducer run there
        return Row(program.name)
    card.clear()
    try:
        run(program, card.device)
    except ImportError as error:  # a library that only some machines have
        return Row(program.name, notes=(str(error),))
    stats = card.stats()
    return Row(program.name, stats["allocated_bytes.all.peak"], stats["reserved_bytes.all.peak"])


def predicted(row: Row, program: Program, gpu: str) -> Row:
    """The row with what the library predicts now.

    Args:
        row: Measured or not.
        program: Of the row.
        gpu: The card's name.
    """
    gc.collect()
    try:
        found = estimate(program, gpu)
    except (BigModelLabError, RuntimeError, ImportError) as error:
        return replace(row, predicted=None, reserved_range=None, notes=(f"{type(error).__name__}: {error}",))
    return replace(row, predicted=found.peak_allocated_bytes, reserved_range=found.reserved_range, notes=found.notes)


def estimate(program: Program, gpu: str) -> Any:
    """As a user would ask.

    Args:
        program: Which.
        gpu: The card's name.
    """
    judged: dict[str, Any] = {"loss": program.pair_loss} if program.pair_loss else {"step": program.step}
    with wrapped(program, program.build()) as model:
        return lab.estimate_memory(
            model,
            program.batch(),
            **judged,
            optimizer=program.optimizer,
            gradient_accumulation_steps=program.accumulation,
            gpu=gpu,
            **program.settings,
        )


def report(rows: Sequence[Row], card: str, *, emulated: bool) -> str:
    """As text.

    Args:
        rows: In their order.
        card: Its name.
        emulated: It has no values, and no workspaces of cuDNN.
    """
    head = f"{'program':<22}" + "".join(
        f"{one:>15}" for one in ("allocated", "predicted", "reserved", "at least", "at most")
    )
    errors = [abs(row.error) for row in rows if row.error is not None]
    worst = f"{len(errors)} compared, largest error {max(errors, default=0):.3%}, {sum(not row.holds for row in rows)} missed"
    kind = "emulated" if emulated else "measured"
    return "\n".join([f"{card} ({kind}); bytes", worst, "", f"{head}{'error':>10}", *map(str, rows)])


def _again(path: Path) -> int:
    values = json.loads(path.read_text("utf-8"))
    by_name = {program.name: program for program in PROGRAMS}
    kept = [
        Row(one["program"], one["allocated"], one["reserved"]) for one in values["rows"] if one["program"] in by_name
    ]
    rows = []
    for row in kept:
        rows.append(predicted(row, by_name[row.program], values["card"]))
        print(rows[-1], flush=True)
    path.write_text(json.dumps({**values, "rows": [asdict(row) for row in rows]}, indent=1) + "\n", "utf-8")
    text = path.with_suffix(".md")
    head = text.read_text("utf-8").partition("```")[0]
    text.write_text(f"{head}```\n{report(rows, values['card'], emulated=values['is_emulated'])}\n```\n", "utf-8")
    return int(not all(row.holds for row in rows))


if __name__ == "__main__":
    sys.exit(main())
