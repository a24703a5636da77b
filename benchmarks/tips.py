"""Tips, predicted against measured: each is applied to a running training, measured, and undone.

    python benchmarks/tips.py [--gpu 2GiB] [--models simple_cnn,mlp] [--record]

Without a GPU, on a simulated card: memory is judged, times are those of the CPU and say nothing about a card. A row has
the peak of the allocated memory before and after as predicted and as measured on the same steps, and the verdict. Passes
where every measured peak lies within the range that was predicted.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import bigmodel_lab as lab
from benchmarks.measuring.machine import record
from bigmodel_lab._table import Table
from bigmodel_lab.tips.base import Proposal
from bigmodel_lab.units import format_bytes

MODELS = ("simple_cnn", "mnist_cnn", "cifar_cnn", "autoencoder")
"""Documented models whose step takes well below a second on a CPU."""
_ENDLESS = 10**6


@dataclass(frozen=True)
class Row:
    """One tip on one model."""

    model: str
    """Name of the model."""
    tip: str
    """Name of the tip."""
    predicted_bytes: int
    """Peak afterwards."""
    least_bytes: int
    """Least that was expected."""
    most_bytes: int
    """Most that was expected."""
    before_bytes: int
    """Measured before."""
    after_bytes: int
    """Measured afterwards."""
    state: str
    """What became of it: kept, reverted, or inconclusive."""

    @property
    def agrees(self) -> bool:
        """The measured peak lies within the range."""
        return self.least_bytes <= self.after_bytes <= self.most_bytes

    @property
    def error(self) -> float:
        """Predicted over measured, less 1."""
        return self.predicted_bytes / self.after_bytes - 1


def measured(model: str, gpu: str) -> Iterator[Row]:
    """A row for each tip that predicts memory and can be applied.

    Args:
        model: A documented model.
        gpu: A card or a size, simulated.
    """
    run = lab.fit(model, device=f"virtual:{gpu}", precision="fp32", epochs=_ENDLESS, background=True)
    try:
        for proposal in run.tips():
            if proposal.can_apply and proposal.memory is not None:
                yield _row(run, model, proposal)
    finally:
        run.stop()
        run.wait()


def _row(run: lab.TrainingRun, model: str, proposal: Proposal) -> Row:
    outcome = run.apply(proposal.tip)
    if outcome.data.get("can_undo"):
        run.undo(proposal.tip)
    before, after = outcome.data["measured_allocated_bytes"]
    memory = proposal.memory
    assert memory is not None
    sizes = (memory.after_bytes, memory.least_bytes, memory.most_bytes)
    return Row(model, proposal.tip, *sizes, before, after, outcome.state)


def report(rows: Sequence[Row], gpu: str) -> str:
    """The rows as text, and the verdict."""
    heads = ("model", "tip", "before", "predicted", "measured", "error", "within", "state")
    cells = tuple(
        (
            row.model,
            row.tip,
            format_bytes(row.before_bytes),
            f"{format_bytes(row.predicted_bytes)} ({format_bytes(row.least_bytes)} – {format_bytes(row.most_bytes)})",
            format_bytes(row.after_bytes),
            f"{100 * row.error:+.1f} %",
            "yes" if row.agrees else "NO",
            row.state,
        )
        for row in rows
    )
    inside = sum(row.agrees for row in rows)
    verdict = "pass" if inside == len(rows) else "FAIL"
    table = Table(heads, cells, right={2, 4, 5}, title=f"Peak allocated memory on a simulated card of {gpu}").text()
    return f"{table}\n\n{verdict}: {inside} of {len(rows)} measured peaks lie within the predicted range"


def main() -> int:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gpu", default="2GiB", help="a card or a size, simulated")
    parser.add_argument("--models", default=",".join(MODELS), help="documented models, with commas between them")
    parser.add_argument("--record", action="store_true", help="keep the figures in benchmarks/records")
    chosen = parser.parse_args()
    rows = [row for model in chosen.models.split(",") for row in measured(model, chosen.gpu)]
    text = report(rows, chosen.gpu)
    print(text)
    if chosen.record:
        record("tips", {"simulated": True, "gpu": chosen.gpu, "rows": [asdict(row) for row in rows]}, text)
    return 0 if all(row.agrees for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
