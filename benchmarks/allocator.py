"""How many requests a second the simulated CUDA caching allocator serves, on one core.

    python benchmarks/allocator.py [--rounds 9] [--requests 200000] [--record]

Two mixes. ``training``: the steps of a GPT-2-like network, weights and AdamW states first, then forward, backward
and optimizer over and over, sizes as such a network asks for. ``hostile``: sizes without a pattern and lives of
random length, which keep thousands of blocks alive and hundreds of holes between them. A request is one call of
``allocate`` or ``free``; statistics are kept throughout. Seconds are processor time of this one process, which other
programs disturb less than a clock on the wall; the best round counts, a busy machine can only add. Passes at 300,000
requests a second or more in both.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.measuring.machine import record
from bigmodel_lab.memory.allocator import CachingAllocator
from bigmodel_lab.memory.requests import Allocation, RequestTrace

GOAL_PER_SECOND = 300_000
"""Least that both mixes must reach."""
_SEED = 2026
_WIDTH, _LAYERS, _VOCABULARY, _TOKENS = 768, 12, 50_257, 2_048


@dataclass(frozen=True)
class Served:
    """One mix of requests, served several times."""

    mix: str
    """Its name."""
    requests: int
    """In a round."""
    per_second: list[float]
    """Of each round, best first."""
    segments: int
    """Held at the end of a round."""
    free_blocks: int
    """Cached at the end of a round."""

    @property
    def passed(self) -> bool:
        """Whether the best round is fast enough."""
        return self.per_second[0] >= GOAL_PER_SECOND


def main() -> int:
    """Measure, print, and keep what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9, help="times that each mix is served")
    parser.add_argument("--requests", type=int, default=200_000, help="requests in a round")
    parser.add_argument("--record", action="store_true", help="keep the figures in benchmarks/records")
    wanted = parser.parse_args()
    mixes = {"training": training(wanted.requests), "hostile": hostile(wanted.requests)}
    results = [measure(mix, trace, wanted.rounds) for mix, trace in mixes.items()]
    report = "\n".join(line(result) for result in results)
    print(report)
    if wanted.record:
        figures = {"goal_per_second": GOAL_PER_SECOND, "mixes": [asdict(result) for result in results]}
        print("Kept:", *record("allocator", figures, report))
    return 0 if all(result.passed for result in results) else 1


def line(result: Served) -> str:
    """One mix in words."""
    verdict = "pass" if result.passed else "FAIL"
    return (
        f"{verdict}  {result.mix:<9} {result.per_second[0]:>9,.0f} requests/s at best, median "
        f"{statistics.median(result.per_second):,.0f} ({len(result.per_second)} rounds of {result.requests:,}; goal "
        f"{GOAL_PER_SECOND:,}); at the end {result.segments} segments, {result.free_blocks} free blocks"
    )


def measure(mix: str, trace: RequestTrace, rounds: int) -> Served:
    """Serve a trace several times, each time with a new allocator."""
    times: list[float] = []
    for _ in range(rounds):
        allocator = CachingAllocator()
        begun = time.process_time()
        serve(trace, allocator)
        times.append(time.process_time() - begun)
    segments = allocator.segments()
    free = sum(block.state == "inactive" for segment in segments for block in segment.blocks)
    requests = len(trace.sequence)
    return Served(mix, requests, sorted((requests / took for took in times), reverse=True), len(segments), free)


def serve(trace: RequestTrace, allocator: CachingAllocator) -> None:
    """Nothing but the calls."""
    sizes = [allocation.bytes for allocation in trace.allocations]
    addresses = [0] * len(sizes)
    allocate, free = allocator.allocate, allocator.free
    for entry in trace.sequence:
        if entry >= 0:
            addresses[entry] = allocate(sizes[entry])
        else:
            free(addresses[~entry])


# ---------------------------------------------------------------- mixes


class _Writer:
    """Writes a trace down."""

    def __init__(self, requests: int) -> None:
        self.requests = requests
        self.sizes: list[int] = []
        self.sequence: list[int] = []

    def take(self, size: int) -> int:
        self.sizes.append(size)
        self.sequence.append(len(self.sizes) - 1)
        return len(self.sizes) - 1

    def give(self, number: int) -> None:
        self.sequence.append(~number)

    def full(self) -> bool:
        return len(self.sequence) >= self.requests

    def trace(self) -> RequestTrace:
        allocations = tuple(Allocation(size, "temporary") for size in self.sizes)
        return RequestTrace(allocations, tuple(self.sequence))


def training(requests: int) -> RequestTrace:
    """Steps of a network of 124 million weights, 4 sequences of 512 tokens, float32."""
    writer = _Writer(requests)
    weights = list(_weights())
    for size in [*weights, *weights, *weights]:  # the weights and both states of AdamW
        writer.take(size)
    while not writer.full():
        _step(writer, weights)
    return writer.trace()


def _weights() -> Iterator[int]:
    """Bytes of each weight and bias."""
    yield 4 * _VOCABULARY * _WIDTH
    for _ in range(_LAYERS):
        for outputs, inputs in ((3, 1), (1, 1), (4, 1), (1, 4)):
            yield 4 * outputs * inputs * _WIDTH * _WIDTH
            yield 4 * outputs * _WIDTH
        yield from [4 * _WIDTH] * 4


def _step(writer: _Writer, weights: list[int]) -> None:
    """Forward, backward, optimizer."""
    hidden = 4 * _TOKENS * _WIDTH
    saved: list[int] = []
    for _ in range(_LAYERS):
        for width in (1, 3, 1, 1, 1, 4, 4, 1, 1):  # what a layer keeps for its backward, in hidden widths
            saved.append(writer.take(width * hidden))
            writer.give(writer.take(width * hidden))
        saved += [writer.take(4 * _TOKENS), writer.take(4 * _TOKENS)]  # mean and spread of the layer norms
    logits = writer.take(4 * _TOKENS * _VOCABULARY)
    gradients = []
    flowing = writer.take(hidden)
    for size in reversed(weights):
        gradients.append(writer.take(size))
        following = writer.take(hidden)
        writer.give(flowing)
        flowing = following
        for number in saved[-2:]:
            writer.give(number)
        del saved[-2:]
    for number in (flowing, logits, *saved):
        writer.give(number)
    for number, size in zip(gradients, reversed(weights), strict=True):
        writer.give(writer.take(size))
        writer.give(number)


def hostile(requests: int) -> RequestTrace:
    """Sizes from 1 B to 64 MiB without a pattern, lives of random length, a thousand alive on average."""
    chance, writer, alive = random.Random(_SEED), _Writer(requests), []
    while not writer.full():
        if len(alive) < chance.randrange(2_000):
            alive.append(writer.take(int(2 ** chance.uniform(0, 26))))
        else:
            place = chance.randrange(len(alive))
            alive[place], alive[-1] = alive[-1], alive[place]
            writer.give(alive.pop())
    return writer.trace()


if __name__ == "__main__":
    sys.exit(main())
