"""Samples a second that reach a model: batches by index from memory, and the usual DataLoader.

    python benchmarks/feeding.py [--rounds 7] [--record]

60,000 images of 1×28×28, uint8, in batches of 64, shuffled, delivered as float32 from 0 to 1;
one thread. ``ToTensor`` by sample is how the tutorials read MNIST (a Pillow image in between, as
torchvision makes it). Passes where ours delivers 1.5 million samples a second or more in its best
round: a busy machine can only take away.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.loops.dataloader import MnistLike
from benchmarks.measuring.machine import record
from bigmodel_lab.data import Batches, epoch_order
from bigmodel_lab.data.base import Split

SAMPLES_PER_SECOND = 1.5e6
"""Least that ours has to deliver."""
BATCH = 64
_SAMPLES = 60_000


def main() -> int:
    """Measure, print, and keep what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7, help="interleaved rounds")
    parser.add_argument("--record", action="store_true", help="keep the figures in benchmarks/records")
    wanted = parser.parse_args()
    rates = measure(wanted.rounds)
    passed = max(rates[OURS]) >= SAMPLES_PER_SECOND
    report = "\n".join(
        [*_table(rates), "", f"{'pass' if passed else 'FAIL'}  ours ≥ {SAMPLES_PER_SECOND:,.0f} samples/s"]
    )
    print(report)
    if wanted.record:
        print("Kept:", *record("feeding", {"samples_per_second": rates}, report))
    return 0 if passed else 1


def measure(rounds: int, samples: int = _SAMPLES) -> dict[str, list[float]]:
    """Samples a second of each way, in interleaved rounds.

    Args:
        rounds: How often each way delivers.
        samples: Images in memory; the slow ways deliver a tenth of them.
    """
    torch.set_num_threads(1)
    images = torch.randint(0, 256, (samples, 1, 28, 28), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(samples) % 10
    rates: dict[str, list[float]] = {name: [] for name in WAYS}
    for number in range(rounds):
        for name, (way, share) in WAYS.items():
            rates[name].append(_rate(way(images, labels, number), samples // share))
    return rates


def _by_index(images: Tensor, labels: Tensor, epoch: int) -> Iterable[tuple[Tensor, Tensor]]:
    batches = Batches(Split(images, labels), 1 / 255)
    return map(batches.take, torch.split(epoch_order(len(labels), 0, epoch), BATCH))


def _to_tensor_each(images: Tensor, labels: Tensor, _epoch: int) -> Iterable[tuple[Tensor, Tensor]]:
    return DataLoader(MnistLike(images, labels), batch_size=BATCH, shuffle=True)


def _tensor_dataset(images: Tensor, labels: Tensor, _epoch: int) -> Iterable[tuple[Tensor, Tensor]]:
    loader = DataLoader(TensorDataset(images, labels), batch_size=BATCH, shuffle=True)
    return ((x.to(torch.float32).mul_(1 / 255), y) for x, y in loader)


Way = Callable[[Tensor, Tensor, int], Iterable[tuple[Tensor, Tensor]]]
OURS = "bigmodel_lab, batches by index"
WAYS: dict[str, tuple[Way, int]] = {
    OURS: (_by_index, 1),
    "DataLoader over a TensorDataset": (_tensor_dataset, 10),
    "DataLoader, Pillow + ToTensor by sample": (_to_tensor_each, 10),
}
"""What is compared, and which part of an epoch is enough to see its speed."""


def _rate(batches: Iterable[tuple[Tensor, Tensor]], enough: int) -> float:
    delivered, began = 0, time.perf_counter()
    for x, _ in batches:
        delivered += len(x)
        if delivered >= enough:
            break
    return delivered / (time.perf_counter() - began)


def _table(rates: dict[str, list[float]]) -> list[str]:
    ours = median(rates[OURS])
    head = f"{'way':<42}{'samples/s':>12}  {'[min - max]':<26}{'µs a batch':>10}{'of ours':>9}"
    return [head] + [
        f"{name:<42}{median(r):>12,.0f}  {f'[{min(r):,.0f} - {max(r):,.0f}]':<26}{BATCH / median(r) * 1e6:>10.0f}"
        f"{median(r) / ours:>9.3f}"
        for name, r in rates.items()
    ]


if __name__ == "__main__":
    sys.exit(main())
