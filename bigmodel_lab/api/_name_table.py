"""What the tables of a family's members share: they are sequences of names, and they show themselves."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Sequence
from textwrap import shorten
from typing import TypeVar, overload

from bigmodel_lab._family import Family
from bigmodel_lab._table import Table
from bigmodel_lab.errors import MissingPackageError
from bigmodel_lab.i18n import text

Member = TypeVar("Member")

UNKNOWN = "–"
"""A cell of which nothing is known."""
_WIDE = 32  # letters of a column in a terminal
_SECTIONS = re.compile(r",? sections? ")


class NameTable(Sequence[str]):
    """Names of a family's members; nothing is imported before the table is looked at."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = tuple(names)

    @overload
    def __getitem__(self, index: int) -> str: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[str, ...]: ...

    def __getitem__(self, index: int | slice) -> str | tuple[str, ...]:
        return self._names[index]

    def __len__(self) -> int:
        return len(self._names)

    @abstractmethod
    def table(self, wide: int | None) -> Table:
        """What is known about each member.

        Args:
            wide: Letters of a column at which long cells are cut; None leaves them whole.
        """

    def __repr__(self) -> str:
        return self.table(_WIDE).text()

    def _repr_html_(self) -> str:
        return self.table(None).html()


def member(family: Family[Member], name: str) -> Member:
    """The member, to be shown.

    Raises:
        MissingPackageError: PyTorch is not installed.
    """
    try:
        return family.get(name)
    except ModuleNotFoundError as missing:
        if missing.name != "torch":
            raise
        raise MissingPackageError("torch", text("models.purpose", "show the models"), "train") from missing


def cut(cell: str, wide: int | None) -> str:
    """The cell, cut between two words where it is wider than allowed; None leaves it whole.

    >>> cut("a text of many words", 12)
    'a text of …'
    """
    return cell if wide is None else shorten(cell, wide, placeholder=" …")


def short_sections(source: str) -> str:
    """A source with "§" in place of the word.

    >>> short_sections("D0, section 5.2")
    'D0 §5.2'
    """
    return _SECTIONS.sub(" §", source)
