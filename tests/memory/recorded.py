"""Recordings for the tests: a simulated session, and the files of real and emulated cards."""

from __future__ import annotations

import random
from contextlib import suppress
from functools import cache
from pathlib import Path

from bigmodel_lab.errors import OutOfDeviceMemory
from bigmodel_lab.memory.allocator import CachingAllocator, Driver
from bigmodel_lab.memory.recording import Recording
from bigmodel_lab.memory.settings import AllocatorSettings

MIB = 1 << 20
FOLDER = Path(__file__).parent.parent / "recordings"
"""Of real cards and of an emulated one; its README names their sources."""
TOTAL_BYTES = 600 * MIB


def recorded_files() -> list[Path]:
    """Files of the folder, by name."""
    return sorted(FOLDER.glob("*.json*"))


class Shuffled(Driver):
    """A driver whose addresses neither ascend nor lie together, as a real one's."""

    def __init__(self, seed: int) -> None:
        super().__init__(250 * MIB, TOTAL_BYTES)
        self._chance = random.Random(seed)
        self._places = list(range(1, 2000))

    def _placed(self, size: int) -> int:
        del size
        place = self._places.pop(self._chance.randrange(len(self._places)))
        return 0x7000_0000_0000 + place * (1 << 34)


@cache
def simulated(settings: str = "", seed: int = 0, requests: int = 400) -> Recording:
    """A recording of a simulated card: two streams, retries, failures, frees that complete later or by empty_cache.

    The last two are left out under settings where memory goes back in other ways as well: see :func:`compare`.
    """
    chance = random.Random(seed)
    card = CachingAllocator(AllocatorSettings.parse(settings), driver=Shuffled(seed), recording=True)
    live: list[int] = []
    waiting: list[int] = []
    seldom = "aaaaff" if "max_split" in settings or "garbage" in settings else "aaaafflce"
    for _ in range(requests):
        kind = chance.choice(seldom if chance.random() < 0.3 else "aaaff")
        if kind == "a":
            with suppress(OutOfDeviceMemory):
                live.append(card.allocate(int(2 ** chance.uniform(5, 27)), stream=chance.choice((0, 0, 0, 1))))
        elif kind in "fl" and live:
            address = live.pop(chance.randrange(len(live)))
            (card.free if kind == "f" else card.free_later)(address)
            waiting += [address] if kind == "l" else []
        elif kind == "c" and waiting:
            card.complete_free(waiting.pop(chance.randrange(len(waiting))))
        elif kind == "e":
            card.empty_cache()
        if not card.pending_frees:  # a request that finds no memory waits for all of them
            waiting.clear()
    return Recording(
        tuple(card.entries), settings, "simulated", TOTAL_BYTES, "simulated", "requests by chance", card.stats()
    )
