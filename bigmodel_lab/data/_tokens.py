"""Words as numbers: a small word-level tokenizer without any library.

A document is put into lower case and cut by one regular expression into runs of letters (with what
follows an apostrophe), runs of digits, and single characters for everything else that is no space. Chinese and
Japanese, which write without spaces, are cut into single characters. The vocabulary is the most
frequent words of the training documents and nothing else, so no word of a test document is known beforehand.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

PADDING = 0
"""Number of the empty place behind a document that is shorter than its row."""
UNKNOWN = 1
"""Number of every word that is not in the vocabulary."""
_SPECIAL = ("<padding>", "<unknown>")
_TWICE = 2  # a word that trains once teaches nothing; as an unknown word it teaches what such words are like

_IDEOGRAPHS = r"\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
_LETTERS = rf"[^\W\d_{_IDEOGRAPHS}]+"
_WORD = re.compile(rf"{_LETTERS}(?:'{_LETTERS})*|\d+|\S")


def words(document: str) -> list[str]:
    """The words and punctuation marks of a document, in lower case.

    >>> words("Don't panic: read_file() takes 2 paths.")
    ["don't", 'panic', ':', 'read', '_', 'file', '(', ')', 'takes', '2', 'paths', '.']
    """
    return _WORD.findall(document.lower())


@dataclass(frozen=True)
class Tokenizer:
    """Documents to token numbers and back.

    >>> tokenizer = Tokenizer.of(["The cat sat.", "The dog sat."], size=10)
    >>> tokenizer.vocabulary
    ('<padding>', '<unknown>', '.', 'sat', 'the')
    >>> tokenizer.encode("The bird sat", length=5)
    [4, 1, 3, 0, 0]
    >>> tokenizer.decode([4, 1, 3, 0, 0])
    'the <unknown> sat'
    """

    vocabulary: tuple[str, ...]
    """The word of each number; the first two stand for padding and for unknown words."""

    @classmethod
    def of(cls, documents: Iterable[str], size: int) -> Tokenizer:
        """The tokenizer with the most frequent words of these documents, alphabetically where they are equally frequent.

        Args:
            documents: The training documents.
            size: Numbers at most, padding and unknown included. Words that occur once are left out.
        """
        counts: Counter[str] = Counter()
        for document in documents:
            counts.update(words(document))
        frequent = sorted((-count, word) for word, count in counts.items() if count >= _TWICE)
        return cls((*_SPECIAL, *(word for _, word in frequent[: max(size - len(_SPECIAL), 0)])))

    def numbers(self, document: str) -> list[int]:
        """The number of each word of a document, as long as it is."""
        known = self._known
        return [known.get(word, UNKNOWN) for word in words(document)]

    def encode(self, document: str, length: int) -> list[int]:
        """The first ``length`` numbers of a document, padded at its end to ``length``.

        Args:
            document: Any text.
            length: Numbers in the result.
        """
        numbers = self.numbers(document)[:length]
        return numbers + [PADDING] * (length - len(numbers))

    def encode_all(self, documents: Sequence[str], length: int) -> Tensor:
        """A row of numbers for each document, shape (documents, length), int64.

        Args:
            documents: Any texts.
            length: Numbers in a row.
        """
        rows = np.empty((len(documents), length), np.int64)
        for row, document in zip(rows, documents, strict=True):
            row[:] = self.encode(document, length)
        return torch.from_numpy(rows)

    def decode(self, numbers: Iterable[int]) -> str:
        """The words of these numbers with spaces between them, without the padding.

        Args:
            numbers: Token numbers below the size of the vocabulary, e.g. ``data.test.x[0].tolist()``.
        """
        return " ".join(self.vocabulary[number] for number in numbers if number != PADDING)

    @cached_property
    def _known(self) -> dict[str, int]:
        return {word: number for number, word in enumerate(self.vocabulary)}
