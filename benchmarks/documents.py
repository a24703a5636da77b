"""Every documented model at its documented setting on the embedded data: what is reached, and how fast.

    python benchmarks/documents.py                        all models, some 40 minutes on two shared cores
    python benchmarks/documents.py --only mlp,mnist_cnn   some of them
    python benchmarks/documents.py --seeds 2 --record     fewer seeds; keep the table in benchmarks/records

The division into training, validation and test samples is one and the same for all seeds (stratified,
``Division(seed=0)``); nothing is tuned, and the test samples are looked at once, after the last epoch. A mean stands
with its 95 % t-interval over the seeds; the transformer is trained once. MNIST is trained as well where it is found: in the folder
``$BIGMODEL_LAB_MNIST``, or by the Hugging Face ``datasets`` library. Where there is a CUDA device,
``mnist_cnn_functional`` runs once more on 60,000 generated images, for throughput alone. Exit status 1: a model
did not reach what is asked of it.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from itertools import chain
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.measuring import goals
from benchmarks.measuring.documents import Result, generated_images, measure, mnist
from benchmarks.measuring.machine import record
from bigmodel_lab.data import load_data
from bigmodel_lab.models import MODELS
from bigmodel_lab.units import format_seconds

SEEDS = 5
_LONG = {"transformer": 1}
"""Models that take ten minutes a training: one seed, after all others."""


def main() -> int:
    """Measure, print, and keep what was asked for."""
    wanted = _arguments().parse_args()
    began = time.monotonic()
    only = tuple(filter(None, wanted.only.split(",")))
    results: list[Result] = []
    for result in chain(_embedded(only, wanted.seeds), _where_there_is_more(only, wanted.seeds)):
        results.append(result)
        print(f"{result.model:<22}{result.data:<23}{_shown(result)}", flush=True)
        if wanted.record:  # what was measured is kept, even when the rest is not waited for
            record("documents", {"results": [asdict(r) for r in results]}, _report(results))
    print(f"\n{_report(results)}\n\n{time.monotonic() - began:.0f} s")
    return 0 if all(passed for passed, _ in goals.judge(results)) else 1


def _report(results: list[Result]) -> str:
    verdicts = (line for _, line in goals.judge(results))
    return "\n".join([*_table(results), "", *_corpora(results), "", *verdicts])


def _embedded(only: tuple[str, ...], seeds: int) -> Iterator[Result]:
    """Every model on its embedded data; the quick ones first."""
    for name in sorted(MODELS.names(), key=lambda name: _LONG.get(name, 0)):
        if not only or name in only:
            yield measure(name, seeds=1 if name in _LONG else seeds)


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="models, separated by commas")
    parser.add_argument("--seeds", type=int, default=SEEDS, help=f"trainings of each model; {SEEDS} by default")
    parser.add_argument("--record", action="store_true", help="keep the figures in benchmarks/records")
    return parser


def _where_there_is_more(only: tuple[str, ...], seeds: int) -> Iterator[Result]:
    """Real MNIST and a GPU, where they are at hand; says so where they are not."""
    real, reason = mnist()
    if real is None:
        print(f"MNIST: not judged. {reason}", flush=True)
    else:
        yield from (measure(name, real, seeds=seeds) for name in goals.ON_MNIST if not only or name in only)
    images = generated_images()
    if images is None:
        print("Throughput on a GPU: not run, there is none.", flush=True)
    else:
        yield measure("mnist_cnn_functional", images, seeds=1, epochs=3)


def _table(results: list[Result]) -> list[str]:
    head = (
        f"{'model':<22}{'data':<23}{'documented':<52}{'reached here (test)':<44}{'epochs':>7}{'time a run':>13}"
        f"{'samples/s':>11}"
    )
    return [head] + [
        f"{r.model:<22}{r.data:<23}{_documented(r.model):<52}{_shown(r):<44}{r.epochs:>7}"
        f"{format_seconds(r.seconds):>13}{r.samples_per_second:>11,.0f}"
        for r in results
    ]


def _documented(model: str) -> str:
    found = MODELS.get(model).documented_result
    return "–" if found is None else found if len(found) < 52 else f"{found[:49]}…"


def _shown(result: Result) -> str:
    spread = f" ± {result.half_width:.4f}" if result.half_width is not None else ""
    return f"{result.measure} {result.mean:.4f}{spread} ({len(result.values)} seeds)"


def _corpora(results: list[Result]) -> list[str]:
    """Digests of the corpora that were made on this machine."""
    names = dict.fromkeys(r.data for r in results if r.sha256)
    return [f"{name}: SHA-256 {load_data(name).sha256}" for name in names]


if __name__ == "__main__":
    sys.exit(main())
