"""Which storages the card holds, each from its first sight to its death."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from threading import RLock
from typing import Any
from weakref import ref

from torch import OutOfMemoryError, Tensor, UntypedStorage, strided

from bigmodel_lab._virtual_gpu._history import Asked, History
from bigmodel_lab.errors import OutOfDeviceMemory
from bigmodel_lab.memory.allocator import CachingAllocator
from bigmodel_lab.memory.requests import Category

NOWHERE = -1
"""Number of a charge that takes no memory of the card: an empty storage, or one of the host."""


class Charge(ref[UntypedStorage]):
    """A storage that the card knows, watched by a weak reference."""

    __slots__ = ("address", "key", "number", "size")

    address: int
    """Of its block; 0 where it takes no memory."""
    key: int
    """Identity of the storage while it lives: torch keeps one Python object for each."""
    number: int
    """Of the request, or :data:`NOWHERE`."""
    size: int
    """Bytes that the storage had on the CPU when it was last seen."""


class Ledger:
    """Storages of the program on one side, blocks of the allocator on the other.

    A storage may die at any moment and on any thread, even while the allocator runs, as
    garbage collection sets in when Python likes. So its death only puts the reference into
    a list; the block is given back before anybody can see the difference: before the next
    request, and before every reading.
    """

    def __init__(self, allocator: CachingAllocator, refusal: Callable[[OutOfDeviceMemory], OutOfMemoryError]) -> None:
        """An empty ledger.

        Args:
            allocator: Of the card.
            refusal: Makes the error that the program gets when a request does not fit.
        """
        self.allocator = allocator
        self.history = History()
        self.lock = RLock()
        self._refusal = refusal
        self._charges: dict[int, Charge] = {}
        self.dead: deque[Charge] = deque()
        """Charges of storages that have died; :meth:`settle` gives their blocks back."""
        self._kept: list[tuple[int, int]] = []
        self._bury: Any = self.dead.append  # in C: no Python code runs while a storage dies
        self.find = self._charges.get
        """The charge of a storage by ``id(storage)``; None when the card has not seen it."""

    def settle(self) -> None:
        """Give back the blocks of all storages that have died."""
        if not self.dead:
            return
        with self.lock:
            while self.dead:
                charge = self.dead.popleft()
                del self._charges[charge.key]
                self._give_back(charge)

    def charge(self, storage: UntypedStorage, size: int, asked: Asked) -> None:
        """Put a storage onto the card.

        Args:
            storage: One that the card has not seen.
            size: Bytes that it has on the CPU.
            asked: The request; with 0 bytes the storage is known from now on and takes nothing.

        Raises:
            torch.OutOfMemoryError: It does not fit.
        """
        with self.lock:
            address, number = self._serve(asked)  # first: what is refused must not be watched, it may die at any time
            charge = Charge(storage, self._bury)
            charge.key, charge.size = id(storage), size
            charge.address, charge.number = address, number
            self._charges[charge.key] = charge

    def resize(self, charge: Charge, storage: UntypedStorage) -> None:
        """Follow a storage that has got another size: a new block, then the old one back, as on the card.

        Raises:
            torch.OutOfMemoryError: The new size does not fit.
        """
        with self.lock:
            old = Charge(storage)
            old.address, old.number = charge.address, charge.number
            size = storage.nbytes()
            before = Asked(0, "activation", "aten.resize_") if old.number == NOWHERE else self.history.asked(old.number)
            charge.address, charge.number = self._serve(before.resized(size))
            charge.size = size
            self._give_back(old)

    def borrow(self, asked: Asked) -> tuple[int, int]:
        """Memory that an operation needs only while it runs; returns what :meth:`give_back` takes.

        Raises:
            torch.OutOfMemoryError: It does not fit.
        """
        with self.lock:
            return self._serve(asked)

    def give_back(self, borrowed: tuple[int, int]) -> None:
        """Borrowed memory is free again.

        Args:
            borrowed: As :meth:`borrow` returned it.
        """
        address, number = borrowed
        if number != NOWHERE:
            with self.lock:
                self.allocator.free(address)
                self.history.died(number)

    def keep(self, asked: Asked) -> None:
        """Memory that stays until :meth:`give_back_kept`.

        Raises:
            torch.OutOfMemoryError: It does not fit.
        """
        with self.lock:
            self._kept.append(self._serve(asked))

    def give_back_kept(self) -> None:
        """Give back what was to stay."""
        with self.lock:
            for address, number in self._kept:
                self.allocator.free(address)
                self.history.died(number)
            self._kept.clear()

    def describe(self, tensor: Tensor, category: Category, module: str | None = None) -> Asked | None:
        """Say what a tensor on the card turned out to be for. Only while everything dead is settled.

        Args:
            tensor: Any.
            category: What it is for.
            module: Dotted name of its module; None leaves it.

        Returns:
            The request behind it; None when it takes no memory of the card.
        """
        asked = self._asked_for(tensor)
        if asked is not None:
            asked.category = category
            asked.module = asked.module if module is None else module
        return asked

    def _asked_for(self, tensor: Tensor) -> Asked | None:
        charge = self.find(id(tensor.untyped_storage())) if tensor.layout is strided else None
        return None if charge is None or charge.number == NOWHERE else self.history.asked(charge.number)

    def follow_emptied(self) -> bool:
        """Find storages that were emptied where no operation shows it (``storage.resize_(0)``); True: there were some."""
        with self.lock:
            emptied = [
                (charge, storage)
                for charge in tuple(self._charges.values())
                if charge.size and (storage := charge()) is not None and not storage.nbytes()
            ]
            for charge, storage in emptied:
                self.resize(charge, storage)
        return bool(emptied)

    def _serve(self, asked: Asked) -> tuple[int, int]:
        """Address and number of a request."""
        if not asked.bytes:
            return 0, NOWHERE
        try:
            address = self._allocate(asked.bytes)
        except OutOfDeviceMemory as full:
            raise self._refusal(full) from None  # the error's own frames tell a person nothing
        return address, self.history.born(asked)

    def _allocate(self, size: int) -> int:
        number = self.history.next_number
        try:
            return self.allocator.allocate(size, owner=number)
        except OutOfDeviceMemory:
            if not self.follow_emptied():
                raise
        return self.allocator.allocate(size, owner=number)

    def _give_back(self, charge: Charge) -> None:
        if charge.number != NOWHERE:
            self.allocator.free(charge.address)
            self.history.died(charge.number)
