"""Text classification from Hugging Face: data sets with the columns ``text`` and ``label``, divided by their makers."""

from __future__ import annotations

from collections.abc import Callable

import torch

from bigmodel_lab.data._checks import check_labels
from bigmodel_lab.data._hub import load_hub
from bigmodel_lab.data._splits import hold_out
from bigmodel_lab.data._text import tokenized
from bigmodel_lab.data.base import Data, DatasetCard, Division, Split
from bigmodel_lab.i18n import text

_VOCABULARY = 20_000


def load_hub_text(
    hub_name: str,
    card: DatasetCard,
    division: Division,
    class_names: tuple[str, ...],
    *,
    length: int,
    clean: Callable[[str], str] = str,
) -> Data:
    """A data set with the parts ``train`` and ``test``; the test documents stay what they are.

    Args:
        hub_name: Its name at Hugging Face.
        card: Its card here.
        division: Says which of the training documents are for validation.
        class_names: What its label numbers mean.
        length: Words of a row.
        clean: Takes out of a document what is no text.

    Raises:
        MissingPackageError: The library ``datasets`` is not installed.
        DataError: The data could not be got, or does not have these classes.
    """
    purpose = text("data.hub_text.purpose", "download {name}", name=card.name)
    otherwise = text(
        "data.hub_text.otherwise",
        "Without a network, train on the embedded texts, data='docs_topics', or on a file of your own, "
        "data='path/to/data.txt'.",
    )
    hub = load_hub(hub_name, purpose=purpose, otherwise=otherwise)
    texts = [clean(document) for part in ("train", "test") for document in hub[part]["text"]]
    train, test = _indices(list(hub["train"]["label"]), list(hub["test"]["label"]))
    for name, part in (("train", train), ("test", test)):
        check_labels(name, part.y, len(class_names))
    train, validation = hold_out(train, division.validation_fraction, division.seed)
    parts = (train, validation, test)
    return tokenized(card.name, str(card.meaning), texts, parts, class_names, length=length, vocabulary=_VOCABULARY)


def _indices(train: list[int], test: list[int]) -> tuple[Split, Split]:
    """Where the documents of both parts stand in one list, with their labels."""
    whole = Split(torch.arange(len(train) + len(test)), torch.tensor([*train, *test], dtype=torch.int64))
    return whole.select(torch.arange(len(train))), whole.select(torch.arange(len(train), len(whole)))
