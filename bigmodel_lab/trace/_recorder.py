"""Writes down when memory is asked for and given back, and what for."""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from typing import Any

from torch import Tensor, UntypedStorage
from torch._subclasses.fake_tensor import FakeTensor

from bigmodel_lab.memory.requests import Allocation, Category, Mark, RequestTrace
from bigmodel_lab.trace._sparse import is_sparse, parts_of


class Recorder:
    """A growing list of requests.

    A storage is followed by a weak reference: it is given back when the last tensor that uses it
    is gone, at the very moment when CUDA's allocator would get it back.
    """

    def __init__(self) -> None:
        self._allocations: list[Allocation] = []
        self._sequence: list[int] = []
        self._marks: list[Mark] = []
        self._notes: dict[str, None] = {}
        self._alive: dict[int, tuple[int, weakref.ref[Any]]] = {}
        self._kept: set[str] = set()
        self._ended = False

    def born(self, tensor: Tensor, maker: str, module: str, category: Category = "temporary") -> None:
        """Write down the memory of a tensor, unless it is known, empty, or on the host.

        Args:
            tensor: A stand-in; its whole storage counts, however small the view.
            maker: Operation that made it.
            module: Dotted name of the module that it was made in.
            category: What it is for, as far as one can tell now.
        """
        if is_sparse(tensor):
            for part in parts_of(tensor):
                self.born(part, maker, module, category)
            return
        storage = tensor.untyped_storage()
        key = storage._cdata  # noqa: SLF001 (the only name that a storage has)
        size = storage.nbytes()
        if key in self._alive or not size or _is_on_the_host(tensor):
            return
        number = self._ask(Allocation(size, category, module, maker, tuple(tensor.shape), _dtype(tensor)))
        self._alive[key] = (number, weakref.ref(storage, partial(self._died, key, number)))

    def borrowed(self, pieces: Iterable[tuple[int, str]], module: str) -> None:
        """Write down memory that an operation needs only while it runs.

        Args:
            pieces: Bytes and label of each; they are there together.
            module: Dotted name of the module that the operation ran in.
        """
        numbers = [self._ask(Allocation(size, "temporary", module, label)) for size, label in pieces if size]
        self._sequence.extend(~number for number in numbers)

    def kept(self, size: int, label: str, name: str) -> None:
        """Write down memory that is asked for once and never given back.

        Args:
            size: Bytes; 0 is nothing.
            label: Shown as its maker.
            name: A second request under this name changes nothing.
        """
        if size and name not in self._kept:
            self._kept.add(name)
            self._ask(Allocation(size, "temporary", "", label))

    def mark(self, phase: str, step: int) -> None:
        """From here on the program is in this phase."""
        self._marks.append(Mark(len(self._sequence), phase, step))

    def note(self, sentence: str) -> None:
        """Something that could not be followed; the same sentence is kept once."""
        self._notes[sentence] = None

    def becomes(self, tensors: Iterable[Tensor], category: Category, *, of: Tensor | None = None) -> None:
        """These tensors turned out to be for this.

        Args:
            tensors: Those that are not alive are ignored.
            category: What they are for.
            of: The parameter that they belong to, whose module they get; None leaves theirs.
        """
        owner = None if of is None else self._number(of)
        for number in map(self._number, tensors):
            if number is not None:
                self._recategorize(number, category, None if owner is None else self._allocations[owner].module)

    def maker_of(self, tensor: Tensor) -> str:
        """Operation that made a tensor; ``""`` where it is not followed."""
        number = self._number(tensor)
        return "" if number is None else self._allocations[number].maker

    def survivors_become(self, before: Category, after: Category) -> None:
        """Every allocation alive now that was taken for one thing is for another."""
        for number, _ in self._alive.values():
            if self._allocations[number].category == before:
                self._recategorize(number, after)

    def end(self) -> RequestTrace:
        """What was recorded; what dies later is not written down any more."""
        self._ended = True
        sequence = _in_order(self._sequence, {mark.position for mark in self._marks})
        return RequestTrace(tuple(self._allocations), sequence, tuple(self._marks), tuple(self._notes))

    def _ask(self, allocation: Allocation) -> int:
        number = len(self._allocations)
        self._allocations.append(allocation)
        self._sequence.append(number)
        return number

    def _died(self, key: int, number: int, _storage: weakref.ref[UntypedStorage]) -> None:
        del self._alive[key]
        if not self._ended:
            self._sequence.append(~number)

    def _number(self, tensor: Tensor) -> int | None:
        """Of the allocation that holds a tensor; None where it is not followed."""
        if is_sparse(tensor):  # its values are what it is for
            parts = parts_of(tensor)
            return self._number(parts[1]) if parts else None
        known = self._alive.get(tensor.untyped_storage()._cdata)  # noqa: SLF001
        return None if known is None else known[0]

    def _recategorize(self, number: int, category: Category, module: str | None = None) -> None:
        before = self._allocations[number]
        after = replace(before, category=category, module=before.module if module is None else module)
        self._allocations[number] = after


def _in_order(sequence: list[int], bounds: set[int]) -> tuple[int, ...]:
    """Frees that follow one another, the oldest first.

    Their order means nothing to an allocator, and where a cache of autocast is emptied it is that of
    a hash table, which differs from run to run.
    """
    ordered: list[int] = []
    frees: list[int] = []
    for position, entry in enumerate(sequence):
        if frees and (entry >= 0 or position in bounds):
            ordered += sorted(frees, reverse=True)
            frees.clear()
        (frees if entry < 0 else ordered).append(entry)
    return (*ordered, *sorted(frees, reverse=True))


def _is_on_the_host(tensor: Tensor) -> bool:
    """Stand-ins of the card's tensors look like CPU tensors; those on the meta device are not on the card."""
    return isinstance(tensor, FakeTensor) and tensor.fake_device.type == "meta"


def _dtype(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
