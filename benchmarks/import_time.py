"""How long ``import bigmodel_lab`` takes, in a fresh interpreter, and what it must not load.

    python benchmarks/import_time.py [--rounds 9] [--record]

The smallest of the rounds counts: a busy machine can only add. Passes at 150 ms or less, with
neither torch nor IPython loaded.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.measuring.machine import ROOT, record

LIMIT_MS = 150.0
"""Most that the import may take."""
HEAVY = ("torch", "IPython", "numpy", "ipywidgets", "anywidget", "matplotlib")
"""Packages that the import must leave alone; for numpy and what follows it is a promise of ours."""
_PROBE = f"""
import json, sys, time
began = time.perf_counter()
import bigmodel_lab
took = (time.perf_counter() - began) * 1000
print(json.dumps([took, [name for name in {HEAVY!r} if name in sys.modules]]))
"""


@dataclass(frozen=True)
class Imported:
    """One import in an interpreter of its own."""

    milliseconds: float
    """Time of the import statement."""
    heavy: list[str]
    """Which of :data:`HEAVY` it loaded."""


def main() -> int:
    """Measure, print, and keep what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9, help="fresh interpreters")
    parser.add_argument("--record", action="store_true", help="keep the figures in benchmarks/records")
    wanted = parser.parse_args()
    rounds = [import_once() for _ in range(wanted.rounds)]
    times, heavy = sorted(r.milliseconds for r in rounds), rounds[0].heavy
    passed = times[0] <= LIMIT_MS and not heavy
    report = (
        f"import bigmodel_lab: {times[0]:.1f} ms at best, median {times[len(times) // 2]:.1f}, worst {times[-1]:.1f} "
        f"({len(times)} interpreters); loads {heavy or 'none of ' + ', '.join(HEAVY)}\n"
        f"{'pass' if passed else 'FAIL'}  ≤ {LIMIT_MS:g} ms and nothing heavy"
    )
    print(report)
    if wanted.record:
        print("Kept:", *record("import_time", {"milliseconds": times, "heavy": heavy}, report))
    return 0 if passed else 1


def import_once() -> Imported:
    """Import in a fresh interpreter."""
    done = subprocess.run([sys.executable, "-c", _PROBE], cwd=ROOT, capture_output=True, text=True, check=True)
    return Imported(*json.loads(done.stdout))


if __name__ == "__main__":
    sys.exit(main())
