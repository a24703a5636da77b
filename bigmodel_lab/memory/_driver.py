"""The driver below the allocator: who gives memory, at which address, and who may refuse."""

from __future__ import annotations

ALIGNMENT_BYTES = 2 << 20
"""Of every address that is made up: the driver's page."""
FIRST_ADDRESS = 0x7F00_0000_0000
"""Where made-up addresses begin: in the range that cudaMalloc uses on Linux."""
RESERVED_WITHOUT_LIMIT_BYTES = 1 << 46
"""Address space of an expandable segment on a card without end."""


class Driver:
    """A driver with so much memory; addresses are made up, ascending."""

    def __init__(self, capacity_bytes: int | None = None, total_bytes: int | None = None) -> None:
        """A card.

        Args:
            capacity_bytes: What this process can have in all; None = without end.
            total_bytes: Memory of the card as it reports it; None = the capacity.
        """
        self.capacity_bytes = capacity_bytes
        self.total_bytes = capacity_bytes if total_bytes is None else total_bytes
        self.used_bytes = 0
        self._next_address = FIRST_ADDRESS

    def allocate(self, size: int) -> int | None:
        """Memory (cudaMalloc): its address, or None where there is not that much left."""
        return self._placed(size) if self._takes(size) else None

    def free(self, address: int, size: int) -> None:
        """Give it back: cudaFree."""
        del address
        self.used_bytes -= size

    def adopt(self, address: int, size: int) -> None:
        """This memory was given before the allocator began; made-up addresses come after it."""
        self.used_bytes += size
        self.adopt_addresses(address, size)

    def adopt_addresses(self, address: int, size: int) -> None:
        """These addresses were reserved before the allocator began."""
        end = -(-(address + size) // ALIGNMENT_BYTES) * ALIGNMENT_BYTES
        self._next_address = max(self._next_address, end)

    def reserve(self, size: int, *, stream: int, is_small: bool) -> int:
        """Addresses without memory (cuMemAddressReserve), for a segment of this stream and pool."""
        del stream, is_small
        return self._placed(size)

    def return_addresses(self, address: int) -> None:
        """Give them back (cuMemAddressFree)."""

    def map(self, address: int, size: int) -> bool:
        """Memory for all these pages (cuMemCreate, cuMemMap); False where there is not that much left."""
        del address
        return self._takes(size)

    def unmap(self, address: int, size: int) -> None:
        """Give the memory of pages back: cuMemUnmap, cuMemRelease."""
        self.free(address, size)

    def reserved_for_expanding_bytes(self) -> int:
        """Addresses that an expandable segment reserves: 1 1/8 of the card (``ExpandableSegment``)."""
        total = self.total_bytes
        return RESERVED_WITHOUT_LIMIT_BYTES if total is None else total + total // 8

    def _takes(self, size: int) -> bool:
        if self.capacity_bytes is not None and self.used_bytes + size > self.capacity_bytes:
            return False
        self.used_bytes += size
        return True

    def _placed(self, size: int) -> int:
        address = self._next_address
        self._next_address += -(-size // ALIGNMENT_BYTES) * ALIGNMENT_BYTES
        return address
