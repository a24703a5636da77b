"""A family is a folder: every file in it is one member, and the file name is the member's name.

There is no list to edit. Names come from the folder's listing, which costs no import; a
member is imported when it is asked for. Files that start with ``_`` and ``base.py`` are
not members.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType
from typing import Generic, TypeVar, cast

from bigmodel_lab.errors import UnknownNameError

Member = TypeVar("Member")


@dataclass(frozen=True)
class Family(Generic[Member]):
    """The members of one folder.

    >>> from bigmodel_lab.charts import CHARTS
    >>> "loss" in CHARTS.names()
    True
    """

    package: str
    """Dotted name of the folder's package, e.g. ``"bigmodel_lab.models"``."""
    kind: str
    """What a member is called in messages, e.g. ``"model"``."""
    attribute: str
    """The attribute of each file that holds the member, e.g. ``"MODEL"``."""

    def names(self) -> tuple[str, ...]:
        """All member names in alphabetical order, without importing any of them."""
        found = (module.name for module in iter_modules(self._folder().__path__))
        return tuple(sorted(n for n in found if n != "base" and not n.startswith("_")))

    def get(self, name: str) -> Member:
        """The member with this name, imported now.

        Raises:
            UnknownNameError: There is no such member; the message lists those that exist.
        """
        if name not in self.names():
            raise UnknownNameError(self.kind, name, self.names())
        return self._load(name)

    def members(self) -> dict[str, Member]:
        """Every member by its name, imported, in alphabetical order; the folder is looked at once."""
        return {name: self._load(name) for name in self.names()}

    def all(self) -> tuple[Member, ...]:
        """Every member, imported, in alphabetical order of the names."""
        return tuple(self.members().values())

    def _load(self, name: str) -> Member:
        return cast("Member", getattr(import_module(f"{self.package}.{name}"), self.attribute))

    def _folder(self) -> ModuleType:
        return import_module(self.package)
