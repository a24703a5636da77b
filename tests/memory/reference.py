"""The allocator's rules once more, as slow and as plain as they can be said: what the fast one is held against."""

from __future__ import annotations

from dataclasses import dataclass, field

MIB = 1 << 20
FIRST_ADDRESS = 0x7F00_0000_0000


@dataclass
class Piece:
    """A block."""

    address: int
    size: int
    free: bool = True


@dataclass
class Part:
    """A segment."""

    address: int
    size: int
    small: bool
    stream: int
    pieces: list[Piece] = field(default_factory=list)


class SlowAllocator:
    """Every search looks at every block; no statistics, nothing is remembered between calls."""

    def __init__(self, capacity: int | None = None, max_split: int | None = None) -> None:
        self.capacity, self.max_split = capacity, max_split
        self.parts: list[Part] = []
        self.next_address = FIRST_ADDRESS
        self.did: list[tuple[str, int, int]] = []

    @property
    def reserved(self) -> int:
        """All segments."""
        return sum(part.size for part in self.parts)

    @property
    def allocated(self) -> int:
        """All blocks in use."""
        return sum(piece.size for part in self.parts for piece in part.pieces if not piece.free)

    def allocate(self, size: int, stream: int = 0) -> int | None:
        """The address; None where there is no room."""
        rounded = -(-size // 512) * 512
        found = self.best_fit(rounded, stream) or self.new_part(rounded, stream)
        if found is None and self.max_split is not None and self.release_some(rounded, stream):
            found = self.new_part(rounded, stream)
        if found is None:
            self.release_all()
            found = self.new_part(rounded, stream)
        if found is None:
            return None
        part, piece = found
        rest = piece.size - rounded
        if rest >= 512 if part.small else rest > MIB and (self.max_split is None or rounded < self.max_split):
            place = part.pieces.index(piece)
            part.pieces.insert(place + 1, Piece(piece.address + rounded, rest))
            piece.size = rounded
        piece.free = False
        return piece.address

    def free(self, address: int) -> None:
        """Give a block back."""
        for part in self.parts:
            for piece in part.pieces:
                if piece.address == address and not piece.free:
                    piece.free = True
                    self.merge(part)
                    return
        raise AssertionError(address)

    def merge(self, part: Part) -> None:
        """Join free blocks side by side."""
        for place in range(len(part.pieces) - 1, 0, -1):
            left, right = part.pieces[place - 1 : place + 1]
            if left.free and right.free:
                left.size += right.size
                part.pieces.remove(right)

    def free_pieces(self, small: bool, stream: int) -> list[tuple[Part, Piece]]:
        """By size, then by address."""
        parts = [part for part in self.parts if part.small == small and part.stream == stream]
        pieces = [(part, piece) for part in parts for piece in part.pieces if piece.free]
        return sorted(pieces, key=lambda found: (found[1].size, found[1].address))

    def best_fit(self, rounded: int, stream: int) -> tuple[Part, Piece] | None:
        """The smallest block that is large enough, unless it is oversize."""
        fitting = [f for f in self.free_pieces(rounded <= MIB, stream) if f[1].size >= rounded]
        if not fitting:
            return None
        size, limit = fitting[0][1].size, self.max_split
        if limit is not None and (size >= limit if rounded < limit else size >= rounded + 20 * MIB):
            return None
        return fitting[0]

    def new_part(self, rounded: int, stream: int) -> tuple[Part, Piece] | None:
        """A new segment; None where it does not fit."""
        if rounded <= MIB:
            size = 2 * MIB
        elif rounded < 10 * MIB:
            size = 20 * MIB
        else:
            size = -(-rounded // (2 * MIB)) * 2 * MIB
        if self.capacity is not None and self.reserved + size > self.capacity:
            return None
        part = Part(self.next_address, size, rounded <= MIB, stream, [Piece(self.next_address, size)])
        self.next_address += size
        self.parts.append(part)
        self.did.append(("segment_alloc", part.address, size))
        return part, part.pieces[0]

    def release(self, part: Part) -> None:
        """Give a segment back."""
        self.parts.remove(part)
        self.did.append(("segment_free", part.address, part.size))

    def release_some(self, rounded: int, stream: int) -> bool:
        """Oversize segments of the stream: the smallest that is enough, or from the largest down."""
        assert self.max_split is not None
        wanted = max(rounded, self.max_split)
        cached = self.free_pieces(rounded <= MIB, stream)
        enough = [part for part, piece in cached if piece.size >= wanted]
        if enough:
            self.release(enough[0])
            return True
        released = 0
        for part, piece in reversed(cached):
            if released >= wanted or piece.size < self.max_split:
                break
            released += piece.size
            self.release(part)
        return released >= wanted

    def release_all(self) -> None:
        """Give back every segment that is one free block."""
        for small in (False, True):
            for stream in sorted({part.stream for part in self.parts}):
                for part, piece in self.free_pieces(small, stream):
                    if piece.size == part.size:
                        self.release(part)
