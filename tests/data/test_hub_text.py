"""AG News and IMDB through the Hugging Face library, which a module of the same name stands in for."""

from __future__ import annotations

import sys
import types

import pytest
import torch

from bigmodel_lab.data import load_data
from bigmodel_lab.data._tokens import Tokenizer
from bigmodel_lab.errors import DataError, LabelRangeError, MissingPackageError

NAMES = {"ag_news": ("fancyzhx/ag_news", 4, 64), "imdb": ("stanfordnlp/imdb", 2, 256)}
every = pytest.mark.parametrize("name", NAMES)


def part(classes: int, count: int, word: str) -> dict[str, list]:
    """Documents of a part, as the library gives them."""
    labels = [i % classes for i in range(count)]
    return {"text": [f"{word} topic{label} topic{label} <br /><br />sample" for label in labels], "label": labels}


@pytest.fixture
def hub(monkeypatch):
    """The library with both data sets, small; what was asked for is kept."""
    asked = []

    def load_dataset(name: str) -> dict[str, dict[str, list]]:
        asked.append(name)
        classes = {hub_name: count for hub_name, count, _ in NAMES.values()}[name]
        return {"train": part(classes, 200, "early"), "test": part(classes, 40, "late")}

    stand_in(monkeypatch, load_dataset)
    return asked


def stand_in(monkeypatch: pytest.MonkeyPatch, load_dataset) -> None:
    """Puts this function in the place of the library's."""
    library = types.ModuleType("datasets")
    library.load_dataset = load_dataset
    monkeypatch.setitem(sys.modules, "datasets", library)


@every
def test_data_of_the_hub(hub, name):
    """Documents become rows of token numbers, with the names of their classes."""
    data = load_data(name)
    hub_name, classes, length = NAMES[name]

    assert hub == [hub_name]
    assert (data.name, data.task, data.classes, len(data.class_names)) == (name, "classification", classes, classes)
    assert (data.input_shape, data.train.x.dtype) == ((length,), torch.int64)
    assert data.description == str(load_data_meaning(name))


def load_data_meaning(name: str) -> str:
    """What the card says."""
    from bigmodel_lab.data import DATASETS

    return str(DATASETS.get(name).meaning)


@every
def test_test_documents_stay_test_documents(hub, name):
    """Validation documents are taken from the training documents, of every class the same share."""
    data = load_data(name)
    classes = NAMES[name][1]

    assert {key: len(split) for key, split in data.splits.items()} == {"train": 180, "validation": 20, "test": 40}
    assert data.validation.y.bincount().tolist() == [20 // classes] * classes
    assert "early" in data.vocabulary
    assert "late" not in data.vocabulary


@every
def test_documents_keep_their_labels(hub, name):
    """The word of each label is in its documents."""
    data = load_data(name)
    tokenizer = Tokenizer(data.vocabulary)

    for row, label in zip(data.test.x.tolist(), data.test.y.tolist(), strict=True):
        assert f"topic {label} topic {label}" in tokenizer.decode(row)


def test_reviews_lose_their_line_breaks(hub):
    """HTML is no text; other marks stay."""
    assert "br" not in load_data("imdb").vocabulary
    assert "br" in load_data("ag_news").vocabulary


@every
def test_without_the_library(monkeypatch, name):
    """The message says what it is for and how to install it."""
    monkeypatch.setitem(sys.modules, "datasets", None)

    with pytest.raises(MissingPackageError, match=rf"download {name}.*bigmodel_lab\[data\]"):
        load_data(name)


@every
@pytest.mark.parametrize("error", [ConnectionError("no route"), ValueError("no route")])
def test_without_network(monkeypatch, name, error):
    """The message names what was asked for, the cause, and what works without a network."""

    def refuse(name: str) -> None:
        raise error

    stand_in(monkeypatch, refuse)

    with pytest.raises(DataError, match=rf"{NAMES[name][0]}.*no route.*docs_topics"):
        load_data(name)


@every
def test_labels_that_it_should_not_have(monkeypatch, name):
    """A label without a class is named."""
    strange = {"train": part(2, 40, "early"), "test": {"text": ["unlabelled"], "label": [-1]}}
    stand_in(monkeypatch, lambda _: strange)

    with pytest.raises(LabelRangeError, match=r"test labels are outside.*y\[0\] = -1"):
        load_data(name)
