"""How long an estimate of GPU memory takes, what it takes of the host, and how far it is from measured peaks.

    python benchmarks/estimate.py [--threads 1] [--rounds 5] [--only mlp,gpt2] [--record]

The documented models at their documented settings, GPT-2 at 8 × 1024 tokens, a decoder of 6.7 billion weights, and two
steps whose peak was measured on a card. torch's own ``MemTracker`` runs the same steps beside it. Each case and tool has a
process of its own, held to ``--threads`` cores, after the calibration loop of ``measuring/calibration.py``.

Ours passes where the best warm time is within the limit of its case, the first estimate takes at most 3 s more (torch and the
library of the model are imported before, as every training does; their time stands beside it), the host's memory stays within
900 MiB, and a measured peak is met within 1 %. Exit status 1: something did not pass.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import product
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.measuring.machine import record
from benchmarks.measuring.memory_cases import CASES, MemoryCase
from benchmarks.measuring.memory_run import OURS, THEIRS, Run, run
from bigmodel_lab.units import format_bytes, format_seconds

COLD_MORE_S = 3.0
"""Most that the first estimate may take longer than the best."""
HOST_BYTES = 900 * 2**20
"""Most of the host's memory: what is left in a Binder session."""
ERROR = 0.01
"""Largest error of a peak that was measured."""


def main() -> int:
    """Measure, print, and keep what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2, help="cores that each process may use")
    parser.add_argument("--rounds", type=int, default=5, help="warm estimates; the best counts")
    parser.add_argument("--only", default="", help="models, by name, with commas")
    parser.add_argument("--record", action="store_true", help="keep the figures in benchmarks/records")
    wanted = parser.parse_args()
    runs, judged = measured(chosen(wanted.only), wanted.rounds, wanted.threads)
    summary = [f"{'pass' if passed else 'FAIL'}  {words}" for passed, words in judged]
    print("", *summary, sep="\n")
    if wanted.record:
        name = "estimate" if wanted.threads > 1 else "estimate_one_core"
        report = "\n".join([*map(line, runs), "", *summary])
        print("Kept:", *record(name, {"threads": wanted.threads, "runs": [asdict(one) for one in runs]}, report))
    return 0 if all(passed for passed, _ in judged) else 1


def measured(cases: Sequence[MemoryCase], rounds: int, threads: int) -> tuple[list[Run], list[tuple[bool, str]]]:
    """Every case with both tools, printed as it is measured, and the verdicts on ours; a case that breaks has failed."""
    runs: list[Run] = []
    judged: list[tuple[bool, str]] = []
    for case, tool in product(cases, (OURS, THEIRS)):
        try:
            runs.append(run(case.name, tool, rounds, threads))
        except RuntimeError as broken:
            print(broken, flush=True)
            judged += [(False, str(broken))] * (tool == OURS)
            continue
        print(line(runs[-1]), flush=True)
        judged += judge(runs[-1]) if tool == OURS else []
    return runs, judged


def chosen(only: str) -> Sequence[MemoryCase]:
    """The cases of these models; all of them where none is named.

    Raises:
        SystemExit: There is no case of that model.
    """
    names = {name for name in only.split(",") if name}
    if unknown := names - {case.model for case in CASES.values()}:
        raise SystemExit(f"No case of {', '.join(sorted(unknown))}.")
    return [case for case in CASES.values() if not names or case.model in names]


def line(one: Run) -> str:
    """What a tool did with a case, in words."""
    measured = CASES[one.case].measured_bytes
    against = "" if measured is None else f", measured {format_bytes(measured)}: {error(one):+.2%}"
    return (
        f"{one.case:<23} {one.tool:<13} {format_seconds(one.seconds[0]):>7} warm, {format_seconds(one.first_s):>7} first, "
        f"imports {format_seconds(one.imports_s):>7}, host {format_bytes(one.host_bytes):>8}, "
        f"calibration {format_seconds(one.calibration_s):>7}; peak {format_bytes(one.peak_bytes)}{against}"
    )


def judge(one: Run) -> Iterator[tuple[bool, str]]:
    """Whether a run of ours is within each limit, and in words."""
    case = CASES[one.case]
    if case.limit_s is not None:
        words = f"{one.case}: {format_seconds(one.seconds[0])} ≤ {format_seconds(case.limit_s)}"
        yield one.seconds[0] <= case.limit_s, words
    more = f"{one.case}: the first takes {format_seconds(one.cold_more_s)} more ≤ {format_seconds(COLD_MORE_S)}"
    yield one.cold_more_s <= COLD_MORE_S, more
    yield one.host_bytes <= HOST_BYTES, f"{one.case}: host {format_bytes(one.host_bytes)} ≤ {format_bytes(HOST_BYTES)}"
    if case.measured_bytes is not None:
        yield abs(error(one)) <= ERROR, f"{one.case}: peak {error(one):+.2%} within {ERROR:.0%} of the measured one"


def error(one: Run) -> float:
    """Of the predicted peak against the measured one; positive is too much. 0 where nothing was measured."""
    measured = CASES[one.case].measured_bytes
    return one.peak_bytes / measured - 1 if measured else 0.0


if __name__ == "__main__":
    sys.exit(main())
