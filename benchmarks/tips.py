"""Tips, predicted against measured: each is applied to a running training, measured, and undone.

    python benchmarks/tips.py [--gpu 2GiB] [--models simple_cnn,mlp] [--record]

Without a GPU, on a simulated card: memory is judged, times are those of the CPU and say nothing about a card. A row has
the peak of the allocated memory before and after as predicted and as measured on the same steps, and the verdict. Passes
where every measured peak lies within the range that was predicted. ``benchmarks/gpu/tips.py`` does the same on a card.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.measuring.machine import record
from benchmarks.measuring.tip_rows import Row, measured, memory_table, with_memory

MODELS = ("simple_cnn", "mnist_cnn", "cifar_cnn", "autoencoder")
"""Documented models whose step takes well below a second on a CPU."""


def report(rows: Sequence[Row], gpu: str) -> str:
    """The rows as text, and the verdict."""
    judged = with_memory(rows)
    inside = sum(row.memory_agrees is True for row in judged)
    verdict = "pass" if inside == len(judged) else "FAIL"
    table = memory_table(rows, f"Peak allocated memory on a simulated card of {gpu}")
    return f"{table}\n\n{verdict}: {inside} of {len(judged)} measured peaks lie within the predicted range"


def main() -> int:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gpu", default="2GiB", help="a card or a size, simulated")
    parser.add_argument("--models", default=",".join(MODELS), help="documented models, with commas between them")
    parser.add_argument("--record", action="store_true", help="keep the figures in benchmarks/records")
    chosen = parser.parse_args()
    device = f"virtual:{chosen.gpu}"
    rows = with_memory([row for model in chosen.models.split(",") for row in measured(model, device)])
    text = report(rows, chosen.gpu)
    print(text)
    if chosen.record:
        record("tips", {"simulated": True, "gpu": chosen.gpu, "rows": [asdict(row) for row in rows]}, text)
    return 0 if all(row.memory_agrees for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
