"""What every data set of Hugging Face shares: who is asked, and what is said when there is no answer."""

from __future__ import annotations

import sys
import types

import pytest

from bigmodel_lab.data._hub import load_hub
from bigmodel_lab.errors import DataError, MissingPackageError


def library(monkeypatch: pytest.MonkeyPatch, answer: object) -> None:
    """Stands in for the library; errors are raised."""

    def load_dataset(name: str) -> object:
        if isinstance(answer, Exception):
            raise answer
        return name, answer

    module = types.ModuleType("datasets")
    module.load_dataset = load_dataset
    monkeypatch.setitem(sys.modules, "datasets", module)


def ask() -> object:
    """Any data set."""
    return load_hub("someone/some_data", purpose="download some data", otherwise="Draw some.")


def test_the_answer_is_handed_on(monkeypatch):
    """The library is asked for the name, and its answer comes back as it is."""
    library(monkeypatch, "parts")

    assert ask() == ("someone/some_data", "parts")


@pytest.mark.parametrize("error", [ConnectionError("no route"), FileNotFoundError("no route"), ValueError("no route")])
def test_no_answer_names_cause_and_other_way(monkeypatch, error):
    """The message has the name, the cause, and what to do without a network."""
    library(monkeypatch, error)

    with pytest.raises(DataError, match=r"'someone/some_data' could not be loaded: no route\. Draw some\.") as caught:
        ask()
    assert caught.value.__cause__ is error


def test_a_fault_in_the_library_is_not_called_a_fault_of_the_network(monkeypatch):
    """What is no failure to load comes through as it is, for whoever has to find it."""
    library(monkeypatch, ZeroDivisionError())

    with pytest.raises(ZeroDivisionError):
        ask()


def test_without_the_library(monkeypatch):
    """The message says what for, and the install line."""
    monkeypatch.setitem(sys.modules, "datasets", None)

    with pytest.raises(MissingPackageError, match=r"download some data.*bigmodel_lab\[data\]"):
        ask()
