"""Batch finders against the same emulated limits: runs, out-of-memory errors, and how near they come.

    python benchmarks/batch_finders.py [--seeds 500] [--others 5] [--record]

A step takes constant memory and so much a sample, with a jitter of up to ±0.2 %, or ±0.5 %, drawn anew for each step.
10 to 40 % of the card are held, up to 2 % are a constant workspace; both are drawn for each seed. The true maximum is
the largest size whose steps fit whatever the jitter, as a long training needs it. Every tool runs with its defaults:
Lightning from 2, up to 8192, three steps a trial; accelerate from 128, and once from above; ours with a usual size of
128. A run is one size that is tried. Passes where ours makes at most two probes and two trials without an error, ends
within 1 % or one sample of the maximum, never above it, at a size that ran, for every seed at ±0.2 %.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.finders.emulated import EmulatedCard
from benchmarks.measuring.machine import record

MAXIMA = (1000, 1023, 1500, 3000, 5000, 12_000, 50)
"""The last one lies below the size that the tools start from."""
JITTERS = (0.002, 0.005)
"""The first is judged."""
OURS = "ours"
OTHERS = ("lightning_power", "lightning_binsearch", "accelerate_decorator", "accelerate_from_above")
"""Files of ``benchmarks/finders``."""
_MOST_RUNS = 4
_NEAR = 0.01


@dataclass(frozen=True)
class Searched:
    """One tool, one maximum, one jitter; several seeds."""

    tool: str
    """Its title."""
    maximum: int
    """The true one."""
    jitter: float
    """Largest share by which a step differs from the mean."""
    seeds: int
    """Searches."""
    runs: float
    """Sizes tried in a search, median."""
    most_runs: int
    """In the longest search."""
    out_of_memory: int
    """Errors of all searches together."""
    nearest: int
    """The answer that is nearest to the maximum."""
    farthest: int
    """The answer that is farthest from it."""
    distance: float
    """Share of the maximum by which the answer differs, median."""
    near: int
    """Searches that end within 1 % or one sample."""
    above: int
    """Searches that end above the maximum, where a long training would fail."""
    untried: int
    """Searches whose answer was never run."""

    @property
    def passed(self) -> bool:
        """As the head of this file says."""
        wrong = self.out_of_memory or self.above or self.untried or self.most_runs > _MOST_RUNS
        return not wrong and self.near == self.seeds


def main() -> int:
    """Search, print, and keep what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=500, help="searches of ours for each maximum")
    parser.add_argument("--others", type=int, default=5, help="searches of each other tool for each maximum")
    parser.add_argument("--record", action="store_true", help="keep the figures in benchmarks/records")
    wanted = parser.parse_args()
    tools = [(OURS, wanted.seeds), *((tool, wanted.others) for tool in OTHERS)]
    rows = [searched(tool, maximum, jitter, seeds) for jitter in JITTERS for maximum in MAXIMA for tool, seeds in tools]
    report = report_of(rows)
    print(report)
    if wanted.record:
        print("Kept:", *record("batch_finders", {"rows": [asdict(row) for row in rows]}, report))
    return 0 if all(row.passed for row in judged(rows)) else 1


def searched(tool: str, maximum: int, jitter: float, seeds: int) -> Searched:
    """Let a tool search on several cards of the same maximum.

    Args:
        tool: File of ``benchmarks/finders``.
        maximum: The true one.
        jitter: Of the cards.
        seeds: How many cards.
    """
    module = import_module(f"benchmarks.finders.{tool}")
    cards = [EmulatedCard.with_maximum(maximum, jitter, seed) for seed in range(seeds)]
    answers = [module.find(card) for card in cards]
    apart = [abs(answer - maximum) for answer in answers]
    return Searched(
        tool=module.TITLE,
        maximum=maximum,
        jitter=jitter,
        seeds=seeds,
        runs=median(len(card.runs) for card in cards),
        most_runs=max(len(card.runs) for card in cards),
        out_of_memory=sum(card.out_of_memory for card in cards),
        nearest=answers[apart.index(min(apart))],
        farthest=answers[apart.index(max(apart))],
        distance=median(apart) / maximum,
        near=sum(one <= max(1, _NEAR * maximum) for one in apart),
        above=sum(answer > maximum for answer in answers),
        untried=sum(answer not in card.ran for answer, card in zip(answers, cards, strict=True)),
    )


def judged(rows: list[Searched]) -> list[Searched]:
    """Ours at the jitter that is judged."""
    title = import_module(f"benchmarks.finders.{OURS}").TITLE
    return [row for row in rows if row.tool == title and row.jitter == JITTERS[0]]


def report_of(rows: list[Searched]) -> str:
    """All rows as a table, and the verdict.

    Args:
        rows: Of all tools.
    """
    head = (
        f"{'jitter':>7}{'true max':>10}  {'tool':<25}{'searches':>9}{'runs (most)':>13}{'OOMs':>6}{'answers':>15}"
        f"{'distance':>10}{'within 1 %':>12}{'above':>7}{'untried':>9}"
    )
    lines = [head, *map(_line, rows)]
    passed = all(row.passed for row in judged(rows))
    lines += [
        "",
        f"{'pass' if passed else 'FAIL'}  at most 2 probes and 2 trials, 0 OOMs, within 1 % or one sample, never above",
    ]
    return "\n".join(lines)


def _line(row: Searched) -> str:
    low, high = sorted((row.nearest, row.farthest))
    return (
        f"{f'±{row.jitter:.1%}':>7}{row.maximum:>10}  {row.tool:<25}{row.seeds:>9}"
        f"{f'{row.runs:g} ({row.most_runs})':>13}{row.out_of_memory:>6}{f'{low} - {high}':>15}{row.distance:>10.2%}"
        f"{f'{row.near} / {row.seeds}':>12}{row.above:>7}{row.untried:>9}"
    )


if __name__ == "__main__":
    sys.exit(main())
