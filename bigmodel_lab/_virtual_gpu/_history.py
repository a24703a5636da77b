"""What was asked of the card and given back: the latest part of it, so that it never fills the host's memory."""

from __future__ import annotations

from collections.abc import Iterator

from bigmodel_lab.i18n import text
from bigmodel_lab.memory.requests import Allocation, Category, Mark, RequestTrace

MOST_ENTRIES = 100_000
"""Requests and frees that are kept; when there are more, the older half goes."""


class Asked:
    """One request. What it is for may become clear later, so it can be changed."""

    __slots__ = ("bytes", "category", "dtype", "maker", "module", "shape")

    def __init__(  # noqa: PLR0917 (made a million times: keywords would cost more than all else here)
        self,
        size: int,
        category: Category,
        maker: str,
        module: str = "",
        shape: tuple[int, ...] = (),
        dtype: object = "",
    ) -> None:
        self.bytes = size
        self.category: Category = category
        self.maker = maker
        self.module = module
        self.shape = shape
        self.dtype = dtype

    def resized(self, size: int) -> Asked:
        """The same for another number of bytes."""
        return Asked(size, self.category, self.maker, self.module, self.shape, self.dtype)

    def as_allocation(self) -> Allocation:
        """As traces carry it."""
        dtype = str(self.dtype).removeprefix("torch.")
        return Allocation(self.bytes, self.category, self.module, self.maker, tuple(self.shape), dtype)


class History:
    """Numbered requests and frees, in order.

    >>> history = History()
    >>> weight, batch = history.born(Asked(4096, "parameter", "")), history.born(Asked(100, "input", ""))
    >>> history.died(batch)
    >>> history.trace().sequence
    (0, 1, -2)
    """

    def __init__(self, most_entries: int = MOST_ENTRIES) -> None:
        self.next_number = 0
        """Number of the next request."""
        self._most = most_entries
        self._asked: dict[int, Asked] = {}
        self._sequence: list[int] = []
        self._marks: list[Mark] = []
        self._notes: dict[str, None] = {}
        self._is_cut = False

    def born(self, asked: Asked) -> int:
        """A request was served; returns its number."""
        number = self.next_number
        self.next_number = number + 1
        self._asked[number] = asked
        self._append(number)
        return number

    def died(self, number: int) -> None:
        """A request was given back."""
        self._append(~number)

    def mark(self, phase: str, step: int) -> None:
        """From here on the program is in this phase."""
        self._marks.append(Mark(len(self._sequence), phase, step))

    def note(self, sentence: str) -> None:
        """Something that could not be followed; the same sentence is kept once."""
        self._notes[sentence] = None

    def asked(self, number: int) -> Asked:
        """The request with this number, which has not been given back."""
        return self._asked[number]

    def places(self) -> dict[int, int]:
        """Number of each request in :meth:`trace`, by its number here."""
        return {number: place for place, number in enumerate(self._asked)}

    def trace(self) -> RequestTrace:
        """All that is kept."""
        places = self.places()
        allocations = tuple(asked.as_allocation() for asked in self._asked.values())
        sequence = tuple(places[entry] if entry >= 0 else ~places[~entry] for entry in self._sequence)
        return RequestTrace(allocations, sequence, tuple(self._marks), tuple(self._said()))

    def _said(self) -> Iterator[str]:
        yield text("virtual_gpu.simulated", "Simulated: the code ran on the CPU, and this card's memory was computed.")
        if self._is_cut:
            yield text(
                "virtual_gpu.cut",
                "Only the latest {most} requests and frees are kept; what was there before them comes first.",
                most=self._most,
            )
        yield from self._notes

    def _append(self, entry: int) -> None:
        self._sequence.append(entry)
        if len(self._sequence) > self._most:
            self._cut()

    def _cut(self) -> None:
        """Forget the older half, except for what is still there: it now comes first."""
        middle = len(self._sequence) // 2
        gone = {~entry for entry in self._sequence[:middle] if entry < 0}
        alive = [entry for entry in self._sequence[:middle] if entry >= 0 and entry not in gone]
        phase = [mark for mark in self._marks if mark.position <= middle][-1:]
        rest = [mark for mark in self._marks if mark.position > middle]
        shift = len(alive) - middle
        self._asked = {number: asked for number, asked in self._asked.items() if number not in gone}
        self._sequence = alive + self._sequence[middle:]
        self._marks = [
            Mark(0, "load", -1),
            *(Mark(len(alive), mark.phase, mark.step) for mark in phase),
            *(Mark(mark.position + shift, mark.phase, mark.step) for mark in rest),
        ]
        self._is_cut = True
