"""A family is a folder: its files are its members."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from bigmodel_lab._family import Family
from bigmodel_lab.errors import UnknownNameError


@pytest.fixture
def fruits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Family[str]:
    """A family of two members, beside a contract and a private file."""
    folder = tmp_path / "fruits_of_this_test"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "base.py").write_text("raise AssertionError('the contract is not a member')\n")
    (folder / "_press.py").write_text("raise AssertionError('a private file is not a member')\n")
    (folder / "plum.py").write_text("FRUIT = 'a plum'\n")
    (folder / "apple.py").write_text("FRUIT = 'an apple'\n")
    monkeypatch.syspath_prepend(tmp_path)
    for name in [m for m in sys.modules if m.startswith(folder.name)]:
        monkeypatch.delitem(sys.modules, name)
    return Family(folder.name, "fruit", "FRUIT")


def test_names_are_the_files_in_alphabetical_order(fruits: Family[str]):
    """Members are found by listing; the contract and private files are none."""
    assert fruits.names() == ("apple", "plum")


def test_a_new_file_is_a_new_member(fruits: Family[str], tmp_path: Path):
    """There is no list to edit."""
    (tmp_path / fruits.package / "quince.py").write_text("FRUIT = 'a quince'\n")

    assert "quince" in fruits.names()
    assert fruits.get("quince") == "a quince"


def test_listing_imports_no_member(fruits: Family[str], tmp_path: Path):
    """A member that cannot be imported here does not disturb the list."""
    (tmp_path / fruits.package / "rotten.py").write_text("raise AssertionError('imported')\n")

    assert "rotten" in fruits.names()
    assert fruits.get("apple") == "an apple"


def test_all_gives_every_member(fruits: Family[str]):
    """All members come in the order of their names."""
    assert fruits.all() == ("an apple", "a plum")


@pytest.mark.parametrize("name", ["pear", "base", "_press", "", "apple.py"])
def test_what_is_not_a_member_is_refused_with_the_list(fruits: Family[str], name: str):
    """An unknown name is answered with those that exist."""
    with pytest.raises(UnknownNameError, match=r"There is no fruit named .*These exist: apple, plum\."):
        fruits.get(name)
