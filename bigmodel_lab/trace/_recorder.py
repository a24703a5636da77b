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
from bigmodel_lab.trace._in_place import Joint, joined, moment
from bigmodel_lab.trace._sparse import in_memory


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
        self._joints: list[Joint] = []
        self._open: dict[int, tuple[int, int, tuple[int, int]]] = {}
        self._late: list[int] = []
        self._loaded = 0
        self._ended = False

    def loaded(self) -> None:
        """Everything that lies on the card before the program runs is written down."""
        self._loaded = len(self._sequence)

    def was_loaded(self, tensor: Tensor, category: Category) -> None:
        """Write down a tensor that turns out to have been on the card since the model was loaded; whoever tells keeps it alive.

        Args:
            tensor: A stand-in.
            category: What it is for.
        """
        before = len(self._sequence)
        self.born(tensor, "load", "", category)
        self._late += self._sequence[before:]
        del self._sequence[before:]

    @property
    def late_bytes(self) -> int:
        """Of all that turned out to have been there."""
        return sum(self._allocations[number].bytes for number in self._late)

    def alive_bytes(self) -> int:
        """Of the tensors that are alive now."""
        return sum(self._allocations[number].bytes for number, _ in self._alive.values())

    def born(
        self, tensor: Tensor, maker: str, module: str, category: Category = "temporary", size: int | None = None
    ) -> None:
        """Write down the memory of a tensor, unless it is known, empty, or on the host.

        Args:
            tensor: A stand-in; its whole storage counts, however small the view.
            maker: Operation that made it.
            module: Dotted name of the module that it was made in.
            category: What it is for, as far as one can tell now.
            size: Bytes that CUDA asks for; None are those of the storage.
        """
        for part in in_memory(tensor):
            self._born(part, maker, module, category, size)

    def _born(self, tensor: Tensor, maker: str, module: str, category: Category, size: int | None) -> None:
        storage = tensor.untyped_storage()
        key = storage._cdata  # noqa: SLF001 (the only name that a storage has)
        size = storage.nbytes() if size is None else size
        if key in self._alive or not size or _is_on_the_host(tensor):
            return
        number = self._ask(Allocation(size, category, module, maker, tuple(tensor.shape), _dtype(tensor)))
        self._alive[key] = (number, weakref.ref(storage, partial(self._died, key, number)))

    def borrowed(self, size: int, label: str, module: str) -> int:
        """Write down memory that a kernel needs beside its outputs; returns the number to give it back by.

        Args:
            size: Bytes, at least 1.
            label: Shown as its maker.
            module: Dotted name of the module that the operation ran in.
        """
        return self._ask(Allocation(size, "temporary", module, label))

    def given_back(self, number: int) -> None:
        """Write down that borrowed memory is free again.

        Args:
            number: As :meth:`borrowed` returned it.
        """
        self._sequence.append(~number)

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

    def may_continue(self, result: Tensor, operand: Tensor) -> None:
        """The result was made in the operand's memory, if it turns out that the operand dies before anything else happens.

        Args:
            result: Of the operation that has just asked for its memory.
            operand: Its first operand.
        """
        before, after = self._number(operand), self._number(result)
        if before is not None and after is not None and before != after:
            self._open[before] = (after, self._last_asked, moment())

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
        whole = [*self._sequence[: self._loaded], *self._late, *self._sequence[self._loaded :]]
        marks = tuple(
            replace(mark, position=mark.position + len(self._late)) if n else mark for n, mark in enumerate(self._marks)
        )
        sequence = _in_order(whole, {mark.position for mark in marks})
        return RequestTrace(*joined(self._allocations, sequence, marks, self._joints), tuple(self._notes))

    def _ask(self, allocation: Allocation) -> int:
        number = len(self._allocations)
        self._allocations.append(allocation)
        self._sequence.append(number)
        return number

    def _died(self, key: int, number: int, _storage: weakref.ref[UntypedStorage]) -> None:
        del self._alive[key]
        if self._ended:
            return
        result, asked, then = self._open.pop(number, (number, -1, (-1, 0)))
        is_same_size = self._allocations[number].bytes == self._allocations[result].bytes
        if result != number and asked == self._last_asked and then == moment() and is_same_size:
            self._joints.append((number, result))
        self._sequence.append(~number)

    @property
    def _last_asked(self) -> int:
        """Number of the newest allocation."""
        return len(self._allocations) - 1

    def _number(self, tensor: Tensor) -> int | None:
        """Of the allocation that holds a tensor; None where it is not followed."""
        *_, values = (None, *in_memory(tensor))  # of a sparse one they are what it is for
        known = None if values is None else self._alive.get(values.untyped_storage()._cdata)  # noqa: SLF001
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
