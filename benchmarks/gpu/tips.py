"""Tips on a real card, predicted against measured: memory and speed. One command for a machine with a GPU.

    python benchmarks/gpu/tips.py [--models simple_cnn,transformer] [--micro-batch-size 1024] [--record]

As ``benchmarks/tips.py`` does on a simulated card: each tip is applied to a running training, the same steps are measured
under the old and the new settings in turn, and it is undone. Passes where every measured peak and every measured time
lies within the range that was said before. Exit status 2: there is no CUDA card; 1: something lies outside.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch

from benchmarks.measuring.machine import record
from benchmarks.measuring.tip_rows import Row, measured, memory_table, time_table, with_memory, with_time

MODELS = ("simple_cnn", "mnist_cnn", "cifar_cnn", "autoencoder", "transformer")
"""Documented models that keep a card busy at large micro-batches."""
NO_CARD = "gpu/tips.py measures on a CUDA card and PyTorch finds none here; benchmarks/tips.py works without one."


def main(words: Sequence[str] | None = None) -> int:
    """Measure, print, keep.

    Args:
        words: The command line; None is that of the process.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default=",".join(MODELS), help="documented models, with commas between them")
    parser.add_argument("--micro-batch-size", type=int, default=1024, help="samples of a pass")
    parser.add_argument("--record", action="store_true", help="keep the figures in benchmarks/records")
    chosen = parser.parse_args(words)
    if not torch.cuda.is_available():
        print(NO_CARD, file=sys.stderr)
        return 2
    size = chosen.micro_batch_size
    rows = [row for model in chosen.models.split(",") for row in measured(model, "cuda", micro_batch_size=size)]
    card = torch.cuda.get_device_name()
    text = report(rows, f"{card}, micro-batch {size}")
    print(text)
    if chosen.record:
        record("gpu_tips", {"card": card, "micro_batch_size": size, "rows": [asdict(row) for row in rows]}, text)
    return 0 if passed(rows) else 1


def passed(rows: Sequence[Row]) -> bool:
    """Nothing that was said before lies outside of its range, and something was said.

    Args:
        rows: Of all models.
    """
    said = [agrees for row in rows for agrees in (row.memory_agrees, row.time_agrees) if agrees is not None]
    return bool(said) and all(said)


def report(rows: Sequence[Row], where: str) -> str:
    """Both tables, and the verdict.

    Args:
        rows: Of all models.
        where: Card and size, in words.
    """
    peaks, times = with_memory(rows), with_time(rows)
    inside = (sum(row.memory_agrees is True for row in peaks), sum(row.time_agrees is True for row in times))
    verdict = "pass" if passed(rows) else "FAIL"
    return (
        f"{memory_table(rows, f'Peak allocated memory on {where}')}\n\n"
        f"{time_table(rows, f'Time of a step on {where}')}\n\n"
        f"{verdict}: {inside[0]} of {len(peaks)} peaks and {inside[1]} of {len(times)} times lie within the range "
        "that was said before"
    )


if __name__ == "__main__":
    sys.exit(main())
