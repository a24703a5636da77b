"""Small programs that drive the CUDA allocator into its corners, recorded for the tests of the simulated one.

    python benchmarks/gpu/allocator_programs.py                    all of them, into tests/recordings
    python benchmarks/gpu/allocator_programs.py --only streams     those whose names hold this
    python benchmarks/gpu/allocator_programs.py --list             their names, settings and what they show

Each runs in a process of its own, as PyTorch reads its settings at its first request, and asks for sizes by chance
with a fixed seed, scaled to what the card has free: a card of a few GiB, real or emulated (``EMU_CARD``, and
``EMU_TOTAL_MIB=4096``), gives the same decisions as a large one in less time. A recording of an emulated card is labelled so.
Exit status 2: there is no CUDA card.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch

from benchmarks.gpu.traces import is_emulated, recorded
from benchmarks.measuring.machine import ROOT

FOLDER = ROOT / "tests" / "recordings"
_KIB, _MIB = 1 << 10, 1 << 20
_PARTS = 64  # of what the card has free: the largest request of most programs is some of them


class Session:
    """Takes memory and gives it back, by chance and yet always in the same way."""

    def __init__(self, seed: int, streams: int = 1) -> None:
        self.chance = random.Random(seed)
        self.part = torch.cuda.mem_get_info()[0] // _PARTS
        self.held: list[torch.Tensor] = []
        self.streams = [torch.cuda.current_stream(), *(torch.cuda.Stream() for _ in range(streams - 1))]
        self.failures = 0

    def take(self, size: float) -> None:
        """Ask for so many bytes on one of the streams; a request that finds no memory is counted."""
        with torch.cuda.stream(self.chance.choice(self.streams)):
            try:
                self.held.append(torch.empty(max(int(size), 1), dtype=torch.uint8, device="cuda"))
            except torch.OutOfMemoryError:
                self.failures += 1

    def give_back(self, share: float = 0.0) -> None:
        """Give one tensor back, or this share of all."""
        for _ in range(max(1, int(share * len(self.held)))):
            if self.held:
                self.held.pop(self.chance.randrange(len(self.held)))

    def lend(self) -> None:
        """One tensor is used on another stream than its own (``record_stream``) and given back at once."""
        if self.held:
            self.held.pop(self.chance.randrange(len(self.held))).record_stream(self.chance.choice(self.streams))

    def size(self, least: float, most: float) -> float:
        """Any size between these, small ones as likely as large ones."""
        return least * (most / least) ** self.chance.random()

    def go(self, steps: int, most: float, *, hold: int = 40, least: float = 64) -> None:
        """Take and give back so often, with sizes up to ``most`` bytes, so many tensors held at a time."""
        for _ in range(steps):
            if len(self.held) > self.chance.randint(hold // 2, hold):
                self.give_back()
            else:
                self.take(self.size(least, most))


@dataclass(frozen=True)
class Program:
    """One of them."""

    name: str
    shows: str
    run: Callable[[], None]
    settings: str = ""
    before: Callable[[], object] | None = None
    """Runs unrecorded, so that the recording begins with what it returns."""


def sizes() -> None:
    """Every border of the rules, from both sides: 512 B, 1 MiB, 10 MiB, multiples of 2 MiB."""
    session = Session(1)
    borders = [512, 4 * _KIB, _MIB, 2 * _MIB, 9 * _MIB, 10 * _MIB, 12 * _MIB, 20 * _MIB, 21 * _MIB, 32 * _MIB]
    for _ in range(3):
        for border in borders:
            for off in (-513, -512, -1, 0, 1, 512, 513):
                session.take(border + off)
            session.give_back(0.2)
        session.give_back(0.6)
    for left in (_MIB - 512, _MIB, _MIB + 512, 512, 1024):  # what would remain of a segment of 20 MiB
        session.held.clear()
        torch.cuda.empty_cache()
        session.take(20 * _MIB)
        session.give_back()
        session.take(20 * _MIB - left)
    for border in (_MIB, 2 * _MIB, 10 * _MIB, 12 * _MIB, 20 * _MIB):  # each from a segment of its own
        for off in (-512, 0, 512):
            session.held.clear()
            torch.cuda.empty_cache()
            session.take(border + off)


def without_memory() -> None:
    """Requests that find no memory: everything cached goes back, and some fail all the same."""
    session = Session(2)
    for _ in range(6):
        session.go(60, 14 * session.part, least=200 * _KIB, hold=60)
        session.give_back(0.5)
    assert session.failures


def emptied() -> None:
    """The cache is given back now and then."""
    session = Session(3)
    for _ in range(8):
        session.go(40, 60 * _MIB)
        session.give_back(0.4)
        torch.cuda.empty_cache()


def on_streams() -> None:
    """Four streams; tensors of one are used on another and come back later."""
    session = Session(4, streams=4)
    for _ in range(120):
        session.go(3, 30 * _MIB, hold=24)
        session.lend()


def on_streams_without_memory() -> None:
    """Frees wait for other streams when a request finds no memory."""
    session = Session(5, streams=3)
    for _ in range(50):
        session.go(5, 14 * session.part, least=300 * _KIB, hold=60)
        session.lend()
        session.lend()
    assert session.failures


def oversize() -> None:
    """Blocks above the limit are not cut, serve only requests near their size, and go back first."""
    session = Session(6)
    for _ in range(10):
        session.go(40, 10 * session.part, least=200 * _KIB, hold=60)
        session.give_back(0.6)
        for near in (0, 19 * _MIB, 21 * _MIB):
            session.take(2 * session.part + near)
    assert session.failures


def garbage() -> None:
    """Old segments go back before the memory is full; the share of the card is set, changed and taken away."""
    session = Session(7)
    session.go(50, 2 * session.part)  # without a share nothing is collected
    for share in (0.5, 0.75, 1.0, 0.4):
        torch.cuda.set_per_process_memory_fraction(share)
        for _ in range(3):
            session.go(40, 10 * session.part, least=200 * _KIB, hold=40)
            session.give_back(0.8)
    torch.cuda.set_per_process_memory_fraction(0.5)
    for segments, at_first, searches in ((11, 0, 3), (15, 1, 30), (15, 2, 20), (14, 3, 1)):
        aged(session, segments, at_first, searches)


def aged(session: Session, segments: int, at_first: int, searches: int) -> None:
    """Segments of two parts are given back, some at first and the others later; then a larger one is wanted.

    Args:
        session: Holds nothing afterwards.
        segments: How many.
        at_first: So many are given back before the others.
        searches: Requests between two of those given back, which make them age.
    """
    session.held.clear()
    torch.cuda.empty_cache()
    for _ in range(segments):
        session.take(2 * session.part)
    torch.empty(1000, device="cuda")  # a small segment is free too: garbage is looked for among the large ones alone
    _search(1)  # from here on one small segment serves all searches, and the others age
    old, session.held[:] = session.held[:at_first], session.held[at_first:]
    old.clear()
    _search(searches if at_first else 0)
    while session.held:
        session.held.pop()
        _search(0 if at_first else searches)
    for size in (3, 5, 7):
        session.take(size * session.part)
    session.held.clear()


def limited() -> None:
    """A share of the card, set with the other settings: requests fail although the card has more."""
    session = Session(8)
    for _ in range(5):
        session.go(60, 10 * session.part, least=200 * _KIB, hold=40)
        session.give_back(0.5)
    assert session.failures


def growing() -> None:
    """Segments grow in place, page by page, and shrink."""
    session = Session(9)
    for _ in range(6):
        session.go(50, 50 * _MIB, hold=30)
        session.give_back(0.5)
        torch.cuda.empty_cache()
        session.go(10, 50 * _MIB)


def growing_without_memory() -> None:
    """Segments that grow on two streams, until the card has no more."""
    session = Session(10, streams=2)
    for _ in range(8):
        session.go(40, 12 * session.part, least=300 * _KIB, hold=60)
        session.lend()
        session.give_back(0.4)
    assert session.failures


def _search(times: int) -> None:
    for _ in range(times):
        torch.empty(3 * _MIB, dtype=torch.uint8, device="cuda")


def growing_refused() -> None:
    """A segment has a hole, then free pages, then its end: the hole is filled before the card refuses the rest."""
    session = Session(14, streams=2)
    page = 20 * _MIB
    for left in (25 * _MIB, 45 * _MIB):
        hole = torch.empty(page, dtype=torch.uint8, device="cuda")
        behind = torch.empty(page // 2, dtype=torch.uint8, device="cuda")
        del hole
        torch.cuda.empty_cache()
        with torch.cuda.stream(session.streams[1]):
            others = torch.empty((torch.cuda.mem_get_info()[0] - left) // page * page, dtype=torch.uint8, device="cuda")
        del behind
        for pages in (3, 5, 1, 2):
            session.take(pages * page)
        del others
        session.held.clear()
        session.go(20, 60 * _MIB)
        session.held.clear()
        torch.cuda.empty_cache()
    assert session.failures


def rounded() -> None:
    """Requests are rounded up between powers of two."""
    session = Session(11)
    for _ in range(4):
        session.go(70, 90 * _MIB)
        session.give_back(0.5)


def in_the_middle() -> None:
    """What was there before is given back, and used anew."""
    session = Session(13)
    for _ in range(30):
        if _EARLIER:
            _EARLIER.pop(session.chance.randrange(len(_EARLIER)))
        session.go(6, 40 * _MIB, hold=30)
    torch.cuda.empty_cache()
    session.go(40, 40 * _MIB, hold=30)


_EARLIER: list[torch.Tensor] = []


def _earlier() -> None:
    """A program that has been running for a while."""
    session = Session(12)
    session.go(200, 40 * _MIB, hold=60)
    _EARLIER.extend(session.held)


def programs() -> tuple[Program, ...]:
    """All of them."""
    return (
        Program("sizes", "every border of the sizes", sizes),
        Program("without_memory", "retries and out of memory", without_memory),
        Program("emptied", "empty_cache", emptied),
        Program("in_the_middle", "a beginning that is not empty", in_the_middle, before=_earlier),
        Program("streams", "four streams with record_stream", on_streams),
        Program("streams_without_memory", "record_stream and out of memory", on_streams_without_memory),
        Program("oversize", "max_split_size_mb", oversize, "max_split_size_mb:64"),
        Program(
            "oversize_rounding",
            "max_non_split_rounding_mb",
            oversize,
            "max_split_size_mb:64,max_non_split_rounding_mb:40",
        ),
        Program("garbage", "memory fractions set while it runs", garbage, "garbage_collection_threshold:0.6"),
        Program(
            "garbage_limited",
            "a fraction among the settings",
            limited,
            "garbage_collection_threshold:0.5,per_process_memory_fraction:0.6",
        ),
        Program("limited", "a fraction without garbage collection", limited, "per_process_memory_fraction:0.5"),
        Program("rounded", "roundup_power2_divisions, one for all", rounded, "roundup_power2_divisions:4"),
        Program(
            "rounded_by_size",
            "roundup_power2_divisions by size",
            rounded,
            "roundup_power2_divisions:[1:2,4:8,16:1,>:4]",
        ),
        Program("growing", "expandable segments, unmapped", growing, "expandable_segments:True"),
        Program(
            "growing_without_memory",
            "expandable segments, two streams, out of memory",
            growing_without_memory,
            "expandable_segments:True",
        ),
        Program("growing_refused", "expandable segments with a hole", growing_refused, "expandable_segments:True"),
        Program(
            "growing_in_the_middle",
            "expandable segments that are there before",
            in_the_middle,
            "expandable_segments:True",
            before=_earlier,
        ),
        Program("large_segments", "large_segment_size_mb", emptied, "large_segment_size_mb:32"),
    )


def main(words: Sequence[str] | None = None) -> int:
    """Do what the command line says.

    Args:
        words: The command line; None is that of the process.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="part of the names")
    parser.add_argument("--list", action="store_true", help="print the programs")
    parser.add_argument("--here", default="", help="run this one program in this process")
    parser.add_argument("--out", default=str(FOLDER), help="folder of the recordings")
    wanted = parser.parse_args(words)
    chosen = [program for program in programs() if wanted.only in program.name]
    if wanted.list:
        print(*(f"{p.name:24}{p.settings or 'default settings':66}{p.shows}" for p in chosen), sep="\n")
        return 0
    if not torch.cuda.is_available():
        print("allocator_programs records a CUDA card and PyTorch finds none here; --list works without one.")
        return 2
    if wanted.here:
        record(next(program for program in programs() if program.name == wanted.here), Path(wanted.out))
        return 0
    return max(in_own_process(program, Path(wanted.out)) for program in chosen)


def in_own_process(program: Program, folder: Path) -> int:
    """Run one program under its settings; its exit status.

    Args:
        program: Which.
        folder: Of the recording.
    """
    command = [sys.executable, __file__, "--here", program.name, "--out", str(folder)]
    return subprocess.run(command, env={**os.environ, "PYTORCH_ALLOC_CONF": program.settings}, check=False).returncode


def record(program: Program, folder: Path) -> Path:
    """Run one program in this process and keep what the allocator did.

    Args:
        program: Which.
        folder: Of the recording.
    """
    if program.before is not None:
        program.before()
    _, recording = recorded(program.run, f"benchmarks/gpu/allocator_programs.py --only {program.name}")
    card = "emulated" if is_emulated() else "card"
    folder.mkdir(parents=True, exist_ok=True)
    path = replace(recording, settings=program.settings).write(folder / f"{card}_{program.name}.json.gz")
    print(f"{path.name}: {len(recording.events)} events, {path.stat().st_size} bytes")
    return path


if __name__ == "__main__":
    raise SystemExit(main())
