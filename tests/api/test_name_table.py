"""What the tables of models and of large models share."""

from __future__ import annotations

import sys

import pytest

from bigmodel_lab._family import Family
from bigmodel_lab._table import Table
from bigmodel_lab.api._name_table import NameTable, cut, member, short_sections
from bigmodel_lab.errors import MissingPackageError


class Fruits(NameTable):
    """Each with its first letter."""

    def table(self, wide: int | None) -> Table:
        """Cut as asked for."""
        return Table(
            ("name", "letter"),
            tuple((cut(f"{name} of the garden in whichever I grew up", wide), name[0]) for name in self),
        )


def test_it_is_a_sequence():
    """Indexing, slices, counting from the end, membership."""
    fruits = Fruits(["apple", "plum", "quince"])

    assert (fruits[0], fruits[-1], fruits[1:]) == ("apple", "quince", ("plum", "quince"))
    assert (len(fruits), "plum" in fruits, fruits.index("plum")) == (3, True, 1)


def test_long_cells_are_cut_in_a_terminal_alone():
    """A notebook has room."""
    fruits = Fruits(["apple"])

    assert "apple of the garden in …" in repr(fruits)
    assert "I grew up" in fruits._repr_html_()


@pytest.mark.parametrize(
    ("wide", "expected"), [(None, "one two three"), (13, "one two three"), (9, "one two …"), (5, "one …"), (3, " …")]
)
def test_cells_are_cut_between_words(wide: int | None, expected: str):
    """Never wider than allowed, as long as a word fits."""
    assert cut("one two three", wide).strip() == expected.strip()


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("D0, section 5.2", "D0 §5.2"),
        ("D0 sections 3.1 and 3.2", "D0 §3.1 and 3.2"),
        ("He et al. 2016, table 1", "He et al. 2016, table 1"),
    ],
)
def test_sections_are_written_short(source: str, expected: str):
    """As one cites."""
    assert short_sections(source) == expected


FAMILY: Family[object] = Family("bigmodel_lab.subjects", "large model", "SUBJECT")


def test_a_member_without_torch_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    """Named, with the line that installs it."""
    monkeypatch.delitem(sys.modules, "bigmodel_lab.subjects.vgg16", raising=False)
    monkeypatch.setitem(sys.modules, "torch", None)

    with pytest.raises(MissingPackageError, match=r'pip install "bigmodel_lab\[train\]"'):
        member(FAMILY, "vgg16")


def test_another_missing_module_is_not_taken_for_torch(monkeypatch: pytest.MonkeyPatch):
    """A mistake in a member's file shows itself."""
    monkeypatch.delitem(sys.modules, "bigmodel_lab.subjects.vgg16", raising=False)
    monkeypatch.setitem(sys.modules, "bigmodel_lab.subjects._images", None)

    with pytest.raises(ModuleNotFoundError, match="_images"):
        member(FAMILY, "vgg16")
