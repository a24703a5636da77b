"""What a program asks of the memory of a card, in order: the common language of traces, replays and pictures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

Category: TypeAlias = Literal["parameter", "gradient", "optimizer_state", "activation", "input", "temporary"]
CATEGORIES: tuple[Category, ...] = get_args(Category)
"""In the order in which pictures stack them: what stays longest lies lowest."""


class Doubt(str):
    """A note about what could only take more memory than was counted: no verdict "fits" stands beside it.

    >>> Doubt("A later batch may be larger.")
    'A later batch may be larger.'
    """

    __slots__ = ()


@dataclass(frozen=True)
class Allocation:
    """One piece of memory that the program asks for, and what it is for."""

    bytes: int
    """As asked for, before any rounding."""
    category: Category
    """What it is for; a gradient is ``"gradient"`` from its birth, buffers of a model count as ``"parameter"``."""
    module: str = ""
    """Dotted name of the module that made it, ``""`` outside every module."""
    maker: str = ""
    """Operation that made it, e.g. ``"aten.addmm"``."""
    shape: tuple[int, ...] = ()
    """Of the tensor as it was made; empty where there is no tensor, as for a workspace."""
    dtype: str = ""
    """Number format without ``torch.``, e.g. ``"float32"``; empty where there is no tensor."""


@dataclass(frozen=True)
class Mark:
    """From this place in the sequence on, the program was in this phase."""

    position: int
    """Index into :attr:`RequestTrace.sequence`."""
    phase: str
    """``"load"``, ``"forward"``, ``"backward"``, ``"optimizer"``, or a name of its own."""
    step: int
    """Number of the optimizer step, from 0; -1 before the first."""


@dataclass(frozen=True)
class RequestTrace:
    """Requests and frees in the order in which they happened.

    >>> weight = Allocation(4096, "parameter")
    >>> trace = RequestTrace((weight, Allocation(100, "activation")), (0, 1, ~1))
    >>> [(kind, number) for kind, number in trace]
    [('alloc', 0), ('alloc', 1), ('free', 1)]
    """

    allocations: tuple[Allocation, ...]
    """Each one once, in the order of birth."""
    sequence: tuple[int, ...]
    """``n`` from 0: allocation n is asked for; ``~n``, negative: it is given back. What is never given back stays."""
    marks: tuple[Mark, ...] = ()
    """Beginnings of phases, by position."""
    notes: tuple[str, ...] = ()
    """What could not be followed, by name, with the way around; empty when everything was. A :class:`Doubt` among them keeps
    a verdict from being "fits"."""

    def __iter__(self) -> Iterator[tuple[Literal["alloc", "free"], int]]:
        """Yields (``"alloc"`` or ``"free"``, number of the allocation)."""
        for entry in self.sequence:
            yield ("alloc", entry) if entry >= 0 else ("free", ~entry)
