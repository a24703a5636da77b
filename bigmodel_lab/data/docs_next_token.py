"""Running text that every Python carries, for learning the next token: the help texts on the language.

``pydoc_data/topics.py`` holds what ``help("assert")``, ``help("import")`` … show: pieces of the language reference. Long
ones repeat parts of others, so a paragraph is left out when it is the same as one before, or has 16 words in a row
with one in common. What remains is cut into blocks of whole paragraphs; training, validation and
test are made of different blocks, so no test text is training text. Each part is one stream of tokens with the
mark ``¶`` between two paragraphs, cut into windows of 64. Another version of Python has other texts, and another SHA-256.
"""

from __future__ import annotations

import ast
import platform
import re
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from bigmodel_lab.data._checks import check_not_empty
from bigmodel_lab.data._docstrings import library_folder, read_source
from bigmodel_lab.data._splits import divide
from bigmodel_lab.data._text import digest
from bigmodel_lab.data._tokens import Tokenizer, words
from bigmodel_lab.data.base import Data, DatasetCard, Division, Split
from bigmodel_lab.errors import DataError
from bigmodel_lab.i18n import Text, text

LENGTH = 64
"""Tokens of a window."""
VOCABULARY = 4096
"""Numbers of the vocabulary at most."""
PARAGRAPH = "¶"
"""Stands between two paragraphs."""
REPEATED = 16
"""Words in a row that make a paragraph a repetition of an earlier one."""
_BLOCK = 512  # words of a block, at least
_RULE = re.compile(r"^[ +|=*~^-]{3,}$", re.MULTILINE)  # drawn below a heading, or between the rows of a table


def load(division: Division) -> Data:
    """The windows; the fractions of the division are shares of the blocks.

    Raises:
        DataError: The help texts are not installed, or the division leaves none of them to train on.
    """
    blocks = list(_blocks(_paragraphs(_help_texts())))
    parts = divide(Split(torch.arange(len(blocks)), torch.zeros(len(blocks), dtype=torch.int64)), division)
    streams = [f" {PARAGRAPH} ".join(blocks[i] for i in sorted(part.x.tolist())) for part in parts]
    tokenizer = Tokenizer.of(streams[:1], VOCABULARY)
    train, validation, test = (_windows(torch.tensor(tokenizer.numbers(s), dtype=torch.int64)) for s in streams)
    check_not_empty("training", train)
    description = text(
        "data.docs_next_token.description",
        "The help texts on the language of Python {version}, in windows of {length} tokens.",
        version=platform.python_version(),
        length=LENGTH,
    )
    return Data(
        "docs_next_token",
        description,
        train,
        validation,
        test,
        scale=None,
        classes=len(tokenizer.vocabulary),
        task="next_token",
        vocabulary=tokenizer.vocabulary,
        sha256=digest(blocks),
    )


def unigram_entropy(data: Data, part: str = "test") -> float:
    """What a model would reach that knows how frequent each token is, and nothing else: nats a token.

    The cross-entropy of the N tokens y to be predicted in a part, under the frequencies c of the tokens in the
    training part, to each of which one is added: -1/N Σ ln((c(y) + 1) / (Σ c + V)), with V words in the
    vocabulary. Source: Jurafsky and Martin, Speech and Language Processing, 3rd edition, chapter 3, on
    Laplace smoothing and on perplexity, which is the exponential of this number.

    Args:
        data: Data for next tokens.
        part: ``"train"``, ``"validation"`` or ``"test"``.

    Raises:
        EmptyDataError: The part holds no samples.

    >>> y = torch.tensor([[0, 1, 1, 1]])
    >>> data = Data("own", "", *[Split(y, y)] * 3, scale=None, classes=2, task="next_token")
    >>> round(unigram_entropy(data), 4)  # frequencies (1 + 1) / 6 and (3 + 1) / 6
    0.5788
    """
    split = data.splits[part]
    check_not_empty(part, split)
    counts = torch.bincount(data.train.y.flatten(), minlength=data.classes).to(torch.float64)
    surprise = -torch.log((counts + 1) / (counts.sum() + data.classes))  # nats, by token
    return float(surprise[split.y.flatten()].mean())


def _help_texts() -> list[str]:
    """The help texts in alphabetical order of what they are about.

    Raises:
        DataError: There are none in the file of this Python.
    """
    path = library_folder() / "pydoc_data" / "topics.py"
    for statement in read_source(path).body:
        if isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Dict):
            topics = ast.literal_eval(statement.value)
            return [topics[name] for name in sorted(topics)]
    raise DataError(
        text(
            "error.help_texts",
            "{path} holds no table of help texts. Give a corpus of your own, or the name of another data set.",
            path=str(path),
        )
    )


def _paragraphs(documents: Iterable[str]) -> Iterator[str]:
    """Every paragraph that repeats nothing from before, its white space reduced to single spaces."""
    seen: set[tuple[str, ...]] = set()
    for document in documents:
        for raw in _RULE.sub("", document).split("\n\n"):
            runs = _runs(words(raw))
            if runs and seen.isdisjoint(runs):
                seen |= runs
                yield " ".join(raw.split())


def _runs(content: list[str]) -> set[tuple[str, ...]]:
    """All runs of so many words; of a shorter paragraph, the whole; of an empty one, none."""
    if not content:
        return set()
    return {tuple(content[i : i + REPEATED]) for i in range(max(len(content) - REPEATED + 1, 1))}


def _blocks(paragraphs: Iterable[str]) -> Iterator[str]:
    """Paragraphs that follow each other, joined until they have enough words."""
    block: list[str] = []
    length = 0
    for paragraph in paragraphs:
        block.append(paragraph)
        length += len(words(paragraph))
        if length >= _BLOCK:
            yield f" {PARAGRAPH} ".join(block)
            block, length = [], 0
    if block:
        yield f" {PARAGRAPH} ".join(block)


def _windows(stream: Tensor) -> Split:
    """Windows side by side, and the same one token further on; what is left at the end is not used."""
    count = max(len(stream) - 1, 0) // LENGTH
    x, y = (stream[shift : shift + count * LENGTH].view(count, LENGTH) for shift in (0, 1))
    return Split(x, y)


DATASET = DatasetCard(
    name="docs_next_token",
    load=load,
    meaning=Text(
        "data.docs_next_token.meaning",
        "The help texts on Python's language that every installation carries, for learning the next token.",
    ),
)
