"""Estimators of GPU memory against the same measured peaks: errors, misses, and "fits" that run out.

    python benchmarks/estimators.py [--truth RECORD] [--answers RECORD] [--only gpt2,decoder] [--record]

Nine peaks of a real T4 and three recorded runs (``benchmarks/measured``), and the part of an emulated grid that every
tool can be asked about, from a record of ``memory_truth``. Each other tool is installed in an environment of its own
(``.venv-rivals``) and asked as its documents say; what it cannot answer is counted with the reason. The rules of the
comparison stand in ``benchmarks/measuring/scoreboard.py``. ``--answers`` takes the other tools' answers from an earlier record.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.gpu.cases import find
from benchmarks.gpu.estimates import ask
from benchmarks.gpu.memory_truth import from_record
from benchmarks.measured import grid
from benchmarks.measured.asking import estimate
from benchmarks.measured.catalogue import catalogue
from benchmarks.measured.program import Peak, Program, measured_peaks
from benchmarks.measuring.machine import RECORDS, record
from benchmarks.measuring.scoreboard import OURS, Answer, answer_of, report_of
from benchmarks.rivals.environments import RIVALS
from bigmodel_lab.errors import BigModelLabError
from bigmodel_lab.memory.cards import card


def main() -> int:
    """Ask, compare, print, and keep what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--truth", default="", help="record of memory_truth; the newest one where none is named")
    parser.add_argument("--answers", default="", help="record of this benchmark whose other tools' answers are taken")
    parser.add_argument("--only", default="", help="parts of names of programs, separated by commas")
    parser.add_argument("--record", action="store_true", help="keep the figures in benchmarks/records")
    wanted = parser.parse_args()
    peaks = chosen([*measured_peaks().values(), *emulated_peaks(truth(wanted.truth))], wanted.only)
    answers, versions = others(peaks, Path(wanted.answers) if wanted.answers else None)
    answers = [*map(our_answer, peaks), *answers]
    report = report_of([OURS, *(rival.name for rival in RIVALS)], answers, peaks)
    print(report)
    if wanted.record:
        figures = {
            "versions": versions,
            "peaks": [asdict(peak) for peak in peaks],
            "answers": [asdict(answer) for answer in answers],
        }
        print("Kept:", *record("estimators", figures, report))
    return 0


def truth(named: str) -> Path | None:
    """The record of the emulated grid; None where there is none.

    Args:
        named: A path, or empty for the newest.
    """
    if named:
        return Path(named)
    kept = sorted(RECORDS.glob("*memory_truth*.json"))
    return kept[-1] if kept else None


def emulated_peaks(path: Path | None) -> list[Peak]:
    """Peaks of the cases that every tool can be asked about.

    Args:
        path: Of a record; None gives none.
    """
    if path is None:
        return []
    found = from_record(json.loads(path.read_text("utf-8")))
    name, asked = card(found.facts.name).name, {case.name for case in grid.cases()}
    return [
        Peak(
            row.case,
            name,
            row.truth.peak_allocated_bytes,
            row.truth.peak_reserved_bytes,
            f"memory_truth, {found.facts}",
            "emulated",
        )
        for row in found.rows
        if row.truth is not None and not row.truth.leftover_bytes and row.case in asked
    ]


def chosen(peaks: Sequence[Peak], only: str) -> list[Peak]:
    """Those whose programs' names have one of these parts.

    Args:
        peaks: Of any programs.
        only: Parts separated by commas; empty takes all.
    """
    parts = [part for part in only.split(",") if part]
    return [peak for peak in peaks if not parts or any(part in peak.name for part in parts)]


def our_answer(peak: Peak) -> Answer:
    """This library's own.

    Args:
        peak: Of which program, on which card.
    """
    try:
        if peak.kind == "emulated":
            found = ask(find(peak.name), peak.card)
        else:
            found = estimate(catalogue()[peak.name], peak.card)
    except BigModelLabError as error:
        return Answer(OURS, peak.name, reason=f"{type(error).__name__}: {error}")
    return Answer(OURS, peak.name, found.peak_allocated_bytes, *found.reserved_range)


def others(peaks: Sequence[Peak], kept: Path | None) -> tuple[list[Answer], dict[str, str]]:
    """Answers and versions of the other tools.

    Args:
        peaks: Of which programs, on which cards.
        kept: An earlier record to take both from; None asks.
    """
    if kept is not None:
        figures = json.loads(kept.read_text("utf-8"))
        answers = [Answer(**values) for values in figures["answers"] if values["tool"] != OURS]
        names = {peak.name for peak in peaks}
        return [answer for answer in answers if answer.program in names], figures["versions"]
    questions = [facts(catalogue()[peak.name], peak.card) for peak in peaks]
    answers, versions = [], {}
    for rival in RIVALS:
        rival.install()
        versions[rival.name] = rival.version()
        said = rival.ask(questions)
        answers += [answer_of(rival.name, said[peak.name]) for peak in peaks]
    return answers, versions


def facts(program: Program, card_name: str) -> dict[str, Any]:
    """What a tool in another environment is told of a program, as values of JSON.

    Args:
        program: What was run.
        card_name: Where.
    """
    plain = ("name", "samples", "length", "image", "autocast", "weights", "micro_batches", "adapter_rank", "attention")
    return {
        **{name: getattr(program, name) for name in (*plain, "checkpointing", "grad", "is_training", "known_as")},
        "config": dict(program.config),
        "optimizer": program.optimizer if isinstance(program.optimizer, str) else "adamw",  # the one by hand is AdamW
        "card": card_name,
    }


if __name__ == "__main__":
    sys.exit(main())
