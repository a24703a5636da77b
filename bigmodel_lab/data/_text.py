"""Documents with labels as data: divided, tokenized with the words of the training part, padded to one length."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

import numpy as np
import torch

from bigmodel_lab.data._checks import check_not_empty
from bigmodel_lab.data._splits import divide
from bigmodel_lab.data._tokens import Tokenizer, words
from bigmodel_lab.data.base import Data, Division, Split
from bigmodel_lab.errors import DataError, EmptyDataError
from bigmodel_lab.i18n import text

VOCABULARY = 8192
"""Numbers of the vocabulary at most, where nothing else is asked for."""
_SHORTEST, _LONGEST = 8, 256  # words a row holds, where the documents decide
_WHOLE_DOCUMENTS = 90  # percent of the training documents that fit a row whole


def text_data(  # noqa: PLR0917 (readers give what they have read in this order)
    name: str,
    description: str,
    texts: Sequence[str],
    labels: Sequence[str],
    division: Division,
    notes: tuple[str, ...] = (),
    *,
    length: int | None = None,
    sha256: str | None = None,
) -> Data:
    """Data for text classification from undivided documents.

    Args:
        name: Short name, for the run.
        description: What it is, for a person.
        texts: The documents.
        labels: The name of each document's class. Classes are numbered in alphabetical order, or by value where
            all names are whole numbers.
        division: How to divide the documents; each part holds every class in proportion.
        notes: What was noticed while reading.
        length: Words of a row; None takes what holds nine of ten training documents whole, 8 … 256.
        sha256: Digest of the corpus, see :func:`digest`; None for none.

    Raises:
        EmptyDataError: There is no document to train on.
        DataError: All documents have the same label.

    >>> texts, labels = ["rain and snow", "goal and pass"] * 10, ["weather", "football"] * 10
    >>> data = text_data("own", "Two topics.", texts, labels, Division())
    >>> data.class_names, data.input_shape, len(data.train)
    (('football', 'weather'), (8,), 16)
    """
    names = class_names(name, labels)
    number = {label: i for i, label in enumerate(names)}
    y = torch.tensor([number[label] for label in labels])
    parts = divide(Split(torch.arange(len(texts)), y), division)
    return tokenized(name, description, texts, parts, names, notes=notes, length=length, sha256=sha256)


def tokenized(
    name: str,
    description: str,
    texts: Sequence[str],
    parts: Sequence[Split],
    class_names: tuple[str, ...],
    *,
    notes: tuple[str, ...] = (),
    length: int | None = None,
    vocabulary: int = VOCABULARY,
    sha256: str | None = None,
) -> Data:
    """Data for text classification from documents that are divided already.

    Args:
        name: Short name, for the run.
        description: What it is, for a person.
        texts: The documents.
        parts: Training, validation and test part: positions in ``texts`` as ``x``, class numbers as ``y``.
        class_names: What the classes are called.
        notes: What was noticed while reading.
        length: Words of a row; None takes what holds nine of ten training documents whole, 8 … 256.
        vocabulary: Numbers of the vocabulary at most.
        sha256: Digest of the corpus; None for none.

    Raises:
        EmptyDataError: There is no training document.
    """
    check_not_empty("training", parts[0])
    documents = [[texts[i] for i in part.x.tolist()] for part in parts]
    tokenizer = Tokenizer.of(documents[0], vocabulary)
    length = length or _usual_length(documents[0])
    train, validation, test = (
        Split(tokenizer.encode_all(chosen, length), part.y) for chosen, part in zip(documents, parts, strict=True)
    )
    return Data(
        name,
        description,
        train,
        validation,
        test,
        scale=None,
        classes=len(class_names),
        class_names=class_names,
        vocabulary=tokenizer.vocabulary,
        sha256=sha256,
        notes=notes,
    )


def digest(lines: Iterable[str]) -> str:
    """SHA-256 of a corpus, in hexadecimal: of its lines in UTF-8, each with its end of line.

    >>> digest(["rain", "snow"])[:16]
    '0ca9fe9521f4c5ec'
    """
    whole = hashlib.sha256()
    for line in lines:
        whole.update(f"{line}\n".encode())
    return whole.hexdigest()


def class_names(name: str, labels: Sequence[str]) -> tuple[str, ...]:
    """Every label once: in alphabetical order, or by value where all are whole numbers.

    Args:
        name: Of the data, for a message.
        labels: Of every document.

    Raises:
        EmptyDataError: There is none.
        DataError: There is one.

    >>> class_names("own", ["10", "9", "10"])
    ('9', '10')
    """
    found = sorted(set(labels))
    if all(label.isdecimal() for label in found):
        found.sort(key=int)
    if not found:
        raise EmptyDataError(
            text("error.no_documents", "{name} holds no document with a label. At least two are needed.", name=name)
        )
    if len(found) == 1:
        raise DataError(
            text(
                "error.one_label",
                "All {count} documents of {name} have the label {label!r}. A classification needs at least two "
                "classes. Is the label where it is looked for?",
                count=len(labels),
                name=name,
                label=found[0],
            )
        )
    return tuple(found)


def _usual_length(documents: Sequence[str]) -> int:
    """Words of a row that holds nine of ten of these documents whole."""
    lengths = [len(words(document)) for document in documents]
    return int(np.clip(np.ceil(np.percentile(lengths, _WHOLE_DOCUMENTS)), _SHORTEST, _LONGEST))
