"""What one update of the dashboard costs the kernel, and how many bytes it sends, however long the run is.

    python benchmarks/dashboard_cost.py [--quick] [--record]

Sixteen series in a real kernel, 857 new steps for each update, as at 0.35 ms a step and an update
every 0.3 s. The samplers look twice a second: four of ten updates tell of steps alone, six of
everything. Bytes are whole messages as they leave the kernel, with Jupyter's own framing. Passes
where the best update of either kind takes 0.5 ms of CPU or less, for a busy machine can only add
(the medians stand beside it, and what the same message costs when ipywidgets merely sends it),
and every one 2 kB, and a keyframe 16 kB.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.measuring.kernel import Kernel, Published
from benchmarks.measuring.machine import record
from benchmarks.measuring.updates import KINDS

UPDATE_US, UPDATE_BYTES, KEYFRAME_BYTES = 500, 2000, 16_000
"""Most that an update may take and send, and a keyframe may send."""
_LENGTHS, _QUICK_LENGTHS = (100, 1_000, 10_000, 100_000, 1_000_000), (100, 10_000)


@dataclass(frozen=True)
class Costs:
    """Updates of one kind at one length of the run."""

    kind: str
    """One of :data:`benchmarks.measuring.updates.KINDS`."""
    history: int
    """Steps of the run so far."""
    wall_us: float
    """Median, clock on the wall."""
    cpu_us: float
    """Median, CPU of the thread that sends."""
    best_cpu_us: float
    """Smallest, CPU of the thread that sends."""
    bytes: int
    """Largest message."""
    payload_bytes: int
    """Largest binary part of a message."""

    @property
    def passed(self) -> bool:
        """It is as small as it has to be."""
        limit = KEYFRAME_BYTES if self.kind == "keyframe" else UPDATE_BYTES
        return self.bytes <= limit and (self.kind == "keyframe" or self.best_cpu_us <= UPDATE_US)


def main() -> int:
    """Measure, print, and keep what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two lengths, few updates")
    parser.add_argument("--record", action="store_true", help="keep the figures in benchmarks/records")
    wanted = parser.parse_args()
    lengths, updates = (_QUICK_LENGTHS, 10) if wanted.quick else (_LENGTHS, 200)
    costs = [cost for history in lengths for cost in measure(history, updates)]
    report = "\n".join(_table(costs))
    print(report)
    if wanted.record:
        print("Kept:", *record("dashboard_cost", {"updates": [asdict(c) for c in costs]}, report))
    return 0 if all(c.passed for c in costs) else 1


def measure(history: int, updates: int) -> list[Costs]:
    """Updates of each kind at one length of the run, in a kernel of its own."""
    code = (
        "from dataclasses import asdict\n"
        "from benchmarks.measuring.updates import measure\n"
        f"result = [asdict(u) for u in measure({history}, {updates})]"
    )
    with Kernel() as kernel:
        timed, published = kernel.run(code)
    sent = [m for m in published if m.content.get("data", {}).get("content", {}).get("type") in _TYPES]
    measured = list(zip(timed, sent[-len(timed) :], strict=True))  # one message each, in the same order
    return [_costs(kind, history, [(t, m) for t, m in measured if t["kind"] == kind]) for kind in KINDS]


_TYPES = ("delta", "keyframe")


def _costs(kind: str, history: int, measured: list[tuple[dict[str, float], Published]]) -> Costs:
    cpu = [t["thread_us"] for t, _ in measured]
    return Costs(
        kind=kind,
        history=history,
        wall_us=median(t["wall_us"] for t, _ in measured),
        cpu_us=median(cpu),
        best_cpu_us=min(cpu),
        bytes=max(m.bytes for _, m in measured),
        payload_bytes=max(m.buffers for _, m in measured),
    )


def _table(costs: list[Costs]) -> list[str]:
    head = f"{'kind':<10}{'steps so far':>14}{'wall µs':>10}{'CPU µs':>10}{'best CPU':>10}{'bytes':>8}{'numbers':>9}"
    return [head] + [
        f"{c.kind:<10}{c.history:>14,}{c.wall_us:>10.0f}{c.cpu_us:>10.0f}{c.best_cpu_us:>10.0f}{c.bytes:>8}"
        f"{c.payload_bytes:>9}  {'pass' if c.passed else 'FAIL'}"
        for c in sorted(costs, key=lambda c: (c.kind, c.history))
    ]


if __name__ == "__main__":
    sys.exit(main())
