"""What watching a training costs: ours and the usual tools, in a real kernel, in interleaved pairs.

    python benchmarks/overhead.py            all rows, 31 pairs each, some 50 minutes on two shared cores
    python benchmarks/overhead.py --quick    5 pairs, nano and mlp, some 2 minutes: a smoke test, not a measurement
    python benchmarks/overhead.py --only fit,watch,bare --pairs 61 --record

Each row is kept in the record of the day as soon as it is measured, in place of an older one of the same
comparison: a long measurement may be stopped, and made in parts.

Each row has a kernel of its own, driven as by a browser: widgets are live and answered. Each
block is one cell: fresh weights, warm-up, then the measured steps between two stamps that are
taken inside the model. Blocks of the base and of the tool alternate AB BA AB …; a row says
the median of the paired ratios with its 95 % bootstrap interval. One thread everywhere.
Ours passes where the interval of its ratio includes 1.02 or less. The gate is the CPU time of
the library's own hooks, at most 5 µs a step. Exit status 1: something did not pass.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import asdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.measuring.kernel import Kernel
from benchmarks.measuring.machine import record, recorded
from benchmarks.measuring.own_cost import OwnCost
from benchmarks.measuring.rows import OURS, ROWS, Measured, Row, measure

RATIO = 1.02
"""Largest ratio to the bare loop that the interval of ours has to include."""
PAIRS, QUICK_PAIRS = 31, 5
_ROUNDS, _QUICK_ROUNDS = 15, 5
_HEAD = (
    f"{'workload':<11}{'loop':<72}{'ratio':>6} {'95 % interval':>15} {'[min-max]':>14} {'CPU ratio':>9} "
    f"{'added µs wall':>14}{'CPU':>8}{'process':>9}{'B/step':>8}"
)


def main() -> int:
    """Measure, print, and keep what was asked for."""
    wanted = arguments().parse_args()
    began = time.monotonic()
    costs = own_costs(_QUICK_ROUNDS if wanted.quick else _ROUNDS)
    pairs = wanted.pairs or (QUICK_PAIRS if wanted.quick else PAIRS)
    measured = kept_rows() if wanted.record else []
    print(f"{'':>7}{_HEAD}", flush=True)
    for number, (row, workload) in enumerate(rows := _wanted_rows(wanted), start=1):
        new = measure(row, workload, pairs)
        measured = with_row(measured, new)
        print(f"{number:>2}/{len(rows)}  {_line(new)}", flush=True)
        if wanted.record:
            keep(measured, costs)
    print(f"\n{report(measured, costs)}\n\n{time.monotonic() - began:.0f} s")
    return 0 if all(passed for passed, _ in judge(measured, costs)) else 1


def report(measured: list[Measured], costs: list[OwnCost]) -> str:
    """Everything as text."""
    verdicts = judge(measured, costs)
    return "\n".join([*_table(measured), "", *_own(costs), "", *(text for _, text in verdicts)])


def with_row(measured: list[Measured], new: Measured) -> list[Measured]:
    """The rows with a new one, in place of an older one of the same comparison; in the order of all rows.

    Args:
        measured: Rows so far.
        new: The row to put in.
    """
    order = [(row, place) for row in ROWS for place in row.workloads]
    others = [m for m in measured if (m.row, m.workload) != (new.row, new.workload)]
    return sorted([*others, new], key=lambda m: order.index((m.row, m.workload)))


def keep(measured: list[Measured], costs: list[OwnCost]) -> None:
    """Write the record of the day."""
    figures = {"rows": [asdict(m) for m in measured], "own_cost": [asdict(c) for c in costs]}
    record("overhead", figures, report(measured, costs))


def kept_rows() -> list[Measured]:
    """Rows that the record of the day already has, of comparisons that still exist."""
    rows = [Measured.from_json(row) for row in recorded("overhead").get("rows", [])]
    return [m for m in rows if m.row in ROWS and m.workload in m.row.workloads]


def arguments() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_PAIRS} pairs, nano and mlp only")
    parser.add_argument("--only", default="", help="rows, by file in benchmarks/loops, separated by commas")
    parser.add_argument("--workloads", default="", help="workloads: nano, mlp, simple_cnn, separated by commas")
    parser.add_argument("--pairs", type=int, default=0, help=f"pairs in each row; {PAIRS} by default")
    parser.add_argument("--record", action="store_true", help="keep the figures in benchmarks/records")
    return parser


def chosen(only: str, workloads: str) -> list[tuple[Row, str]]:
    """Rows and workloads to measure.

    Args:
        only: Loops, separated by commas; empty takes all.
        workloads: The same for workloads.
    """
    loops, places = set(filter(None, only.split(","))), set(filter(None, workloads.split(",")))
    return [
        (row, place)
        for row in ROWS
        for place in row.workloads
        if (not loops or row.loop in loops) and (not places or place in places)
    ]


def _wanted_rows(wanted: argparse.Namespace) -> list[tuple[Row, str]]:
    return chosen(wanted.only, wanted.workloads or ("nano,mlp" if wanted.quick else ""))


def own_costs(rounds: int) -> list[OwnCost]:
    """CPU of the library's own hooks, in a kernel with a live dashboard."""
    code = (
        "from dataclasses import asdict\n"
        "from benchmarks.measuring.own_cost import own_cost\n"
        f"result = [asdict(own_cost(loop, {rounds})) for loop in {OURS!r}]"
    )
    with Kernel() as kernel:
        measured, _ = kernel.run(code)
    return [OwnCost(**m) for m in measured]


def judge(measured: list[Measured], costs: list[OwnCost]) -> list[tuple[bool, str]]:
    """What has to hold, each with whether it does."""
    verdicts = [
        (c.added_us <= c.limit_us, f"own CPU of {c.loop} {c.added_us:.2f} µs a step (limit {c.limit_us:.2g})")
        for c in costs
    ]
    for m in measured:
        if m.row.loop in OURS:
            verdicts += _judge_ours(m)
    return [(passed, f"{'pass' if passed else 'FAIL'}  {text}") for passed, text in verdicts]


def _judge_ours(measured: Measured) -> list[tuple[bool, str]]:
    c, place = measured.comparison, f"{measured.workload}: {measured.row.loop} ÷ {measured.row.base}"
    spread = f"{c.ratio:.3f} [{c.ratio_low:.3f}, {c.ratio_high:.3f}]"
    if measured.row.base == "bare":
        speed = (c.ratio_low <= RATIO, f"{place} {spread} (interval has to include ≤ {RATIO})")
    else:
        speed = (c.ratio_high < 1, f"{place} {spread} (has to be faster)")
    return [speed, (c.frames > 0, f"{place}: the dashboard was live ({c.frames} updates in the blocks)")]


def _table(measured: list[Measured]) -> list[str]:
    return [_HEAD, *map(_line, measured), "", *_bases(measured)]


def _line(m: Measured) -> str:
    c = m.comparison
    return (
        f"{m.workload:<11}{m.row.title:<72}{c.ratio:>6.2f} {f'[{c.ratio_low:.3f}, {c.ratio_high:.3f}]':>15} "
        f"{f'[{c.ratio_least:.2f}-{c.ratio_most:.2f}]':>14} {c.cpu_ratio:>9.3f} {c.added_wall_us:>+14.1f}"
        f"{c.added_cpu_us:>+8.1f}{c.added_process_us:>+9.1f}{c.bytes:>8.0f}"
    )


def _bases(measured: list[Measured]) -> list[str]:
    """How long a bare step took on each workload."""
    bare = {m.workload: m.comparison.base_us for m in measured if m.row.base == "bare"}
    return [f"{workload}: a bare step takes {us / 1000:.2f} ms" for workload, us in bare.items()]


def _own(costs: list[OwnCost]) -> list[str]:
    return [
        f"{c.loop}: {c.ours_us:.2f} µs of CPU a step that trains nothing, bare {c.bare_us:.2f}: {c.added_us:+.2f} µs"
        for c in costs
    ]


if __name__ == "__main__":
    sys.exit(main())
