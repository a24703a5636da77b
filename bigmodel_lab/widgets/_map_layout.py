"""Where the segments and blocks of an allocator lie on its map."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bigmodel_lab.memory.segments import Block, Segment

_LARGE_ROWS, _SMALL_ROWS = 24, 6
_LEAST_ROWS = 2
_LONGEST_SHARE = 8  # a segment may take a row for itself up to this part of its pool; a longer one goes over several
_RUN = 3.0  # so many times the narrowest width a run of small blocks gets, at most


@dataclass(frozen=True)
class Pool:
    """Segments that serve the same requests."""

    kind: str
    """``"small"`` or ``"large"``."""
    stream: int
    """CUDA stream."""
    private_pool: int
    """Number of a CUDA graph's pool; 0 is the common one."""
    segments: tuple[Segment, ...]
    """The longest first."""

    @property
    def bytes(self) -> int:
        """Of all its segments."""
        return sum(segment.bytes for segment in self.segments)

    @property
    def used_bytes(self) -> int:
        """Of its blocks in use, those that wait for a stream included."""
        return sum(block.bytes for block in self.blocks() if block.state != "inactive")

    @property
    def longest_free_bytes(self) -> int:
        """Of its longest free stretch: no larger request is served without asking the driver."""
        return max((block.bytes for block in self.blocks() if block.state == "inactive"), default=0)

    def blocks(self) -> Iterator[Block]:
        """Every block."""
        for segment in self.segments:
            yield from segment.blocks


@dataclass(frozen=True)
class Strip:
    """The part of a segment that lies in one row."""

    row: int
    """Number of the row, from 0."""
    left_bytes: int
    """Where in the row it begins."""
    start: int
    """Which byte of the segment it begins with."""
    bytes: int
    """Its length."""


@dataclass(frozen=True)
class Piece:
    """One block, or neighbouring blocks that are too small to be seen alone."""

    start: int
    """Which byte of the segment it begins with."""
    bytes: int
    """Its length."""
    blocks: tuple[Block, ...]
    """One, or several small ones."""


def pools(segments: Sequence[Segment]) -> list[Pool]:
    """Segments by what they serve: the common pools first, large before small, then by stream; the longest first."""
    found: dict[tuple[int, int, bool], list[Segment]] = {}
    for segment in segments:
        found.setdefault((segment.private_pool, segment.stream, segment.pool == "small"), []).append(segment)
    return [
        Pool(
            "small" if is_small else "large",
            stream,
            private_pool,
            tuple(sorted(group, key=lambda segment: (-segment.bytes, segment.address))),
        )
        for (private_pool, stream, is_small), group in sorted(found.items())
    ]


def row_bytes(pool: Pool, all_bytes: int) -> int:
    """Bytes that the full width of a row stands for: as many rows as the share of the pool deserves.

    It is a multiple of the longest segment that fits into a row, so that such segments fill rows to the end.
    """
    most = _SMALL_ROWS if pool.kind == "small" else _LARGE_ROWS
    rows = min(most, max(_LEAST_ROWS, round(_LARGE_ROWS * pool.bytes / max(all_bytes, 1))))
    longest = pool.segments[0].bytes
    least = max(-(-pool.bytes // rows), min(longest, pool.bytes // min(rows, _LONGEST_SHARE)), 1)
    unit = next((segment.bytes for segment in pool.segments if segment.bytes <= least), least)
    return -(-least // unit) * unit


def placed(pool: Pool, width: int) -> list[list[Strip]]:
    """The strips of each segment, in the order of the pool; each segment goes into the first row with room.

    Args:
        pool: The segments.
        width: Bytes of a row. A longer segment begins a row and goes over the next ones.
    """
    used: list[int] = []
    result = []
    for segment in pool.segments:
        if segment.bytes > width:
            result.append(_over_rows(segment.bytes, width, len(used)))
            used += [strip.bytes for strip in result[-1]]
            continue
        row = next((nth for nth, filled in enumerate(used) if filled + segment.bytes <= width), len(used))
        if row == len(used):
            used.append(0)
        result.append([Strip(row, used[row], 0, segment.bytes)])
        used[row] += segment.bytes
    return result


def pieces(segment: Segment, narrow: float) -> list[Piece]:
    """Blocks of a segment, neighbours joined where each alone is shorter than ``narrow`` bytes.

    >>> block = Block(0, 512, 512, "active_allocated")
    >>> [len(piece.blocks) for piece in pieces(Segment(0, 2048, "small", 0, (block,) * 4), 1024)]
    [4]
    """
    found: list[Piece] = []
    run: list[Block] = []
    at = 0
    for block in segment.blocks:
        if block.bytes >= narrow or sum(small.bytes for small in run) >= _RUN * narrow:
            at = _close(found, run, at)
        if block.bytes >= narrow:
            found.append(Piece(at, block.bytes, (block,)))
            at += block.bytes
        else:
            run.append(block)
    _close(found, run, at)
    return found


def cut(piece: Piece, strips: Sequence[Strip]) -> Iterator[tuple[int, int, int]]:
    """The parts of a piece as row, left end and length in bytes."""
    for strip in strips:
        start = max(piece.start, strip.start)
        stop = min(piece.start + piece.bytes, strip.start + strip.bytes)
        if start < stop:
            yield strip.row, strip.left_bytes + start - strip.start, stop - start


def _over_rows(length: int, width: int, first_row: int) -> list[Strip]:
    starts = range(0, length, width)
    return [Strip(first_row + nth, 0, start, min(width, length - start)) for nth, start in enumerate(starts)]


def _close(found: list[Piece], run: list[Block], at: int) -> int:
    """Make one piece of the small blocks so far; where the next one begins."""
    length = sum(block.bytes for block in run)
    if run:
        found.append(Piece(at, length, tuple(run)))
        run.clear()
    return at + length
