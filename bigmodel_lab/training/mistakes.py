"""The samples that a model gets most wrong, as people can look at them: as pictures or as text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bigmodel_lab._table import Table
from bigmodel_lab.data import Data
from bigmodel_lab.i18n import text
from bigmodel_lab.units import format_number, format_value

_SMALLEST_SIDE = 4  # fewer pixels are no picture
_MOST_WORDS = 10
_MOST_NUMBERS = 6
_BRIGHTEST = 255


@dataclass(frozen=True)
class Answer:
    """What was true, and what the model said."""

    true: str
    """In words; empty where the sample itself is what was to be said."""
    predicted: str
    """In words; empty where it is a picture."""
    probability: float | None = None
    """Of the predicted class, 0 … 1; None where there are no classes."""
    picture: Tensor | None = None
    """What the model gave back; None where it says words."""


@dataclass(frozen=True)
class Mistake:
    """A sample with a high loss."""

    index: int
    """Place in its part of the data, from 0: ``data.test.x[index]``."""
    loss: float
    """Loss of this sample alone."""
    answer: Answer
    """What was true and what was said."""
    sample: Tensor
    """The sample as the data has it, without the batch."""
    words: str
    """The sample as text; empty where it is a picture."""


def worst(losses: Tensor, wrong: Tensor, count: int) -> list[int]:
    """Indices of the wrong samples with the highest loss, highest first.

    Args:
        losses: Of each sample, shape (samples,).
        wrong: Which may be listed, shape (samples,), bool.
        count: At most so many.

    >>> worst(torch.tensor([3.0, 1.0, 2.0]), torch.tensor([False, True, True]), 5)
    [2, 1]
    """
    order = losses.argsort(descending=True, stable=True)
    return [int(i) for i in order[wrong[order]][:count]]


def as_picture(sample: Tensor) -> NDArray[np.float32] | None:
    """A sample as pixels 0 … 1, shape (height, width) or (height, width, 3); None where it is no picture.

    Pixels outside 0 … 1, as after a normalisation, are spread over that range.

    >>> as_picture(torch.zeros(3, 32, 32, dtype=torch.uint8)).shape
    (32, 32, 3)
    >>> as_picture(torch.zeros(20)) is None
    True
    """
    if sample.dtype == torch.int64 or sample.ndim not in (2, 3) or min(sample.shape[-2:]) < _SMALLEST_SIDE:
        return None
    if sample.ndim == 3 and sample.shape[0] not in (1, 3):
        return None
    pixels = sample.float() / (_BRIGHTEST if sample.dtype == torch.uint8 else 1)
    low, high = float(pixels.min()), float(pixels.max())
    if low < 0 or high > 1:
        pixels = (pixels - low) / (high - low or 1)
    if pixels.ndim == 3:
        pixels = pixels.permute(1, 2, 0).squeeze(2)
    drawn: NDArray[np.float32] = pixels.numpy()
    return drawn


def in_words(sample: Tensor, data: Data) -> str:
    """A sample as text: its words, or its first numbers; empty where it is a picture, or says what the labels say."""
    if data.task == "next_token":
        return ""
    if data.vocabulary and sample.dtype == torch.int64:
        return words_of(sample, data.vocabulary)
    if as_picture(sample) is not None:
        return ""
    numbers = [format_number(value) for value in sample.flatten()[:_MOST_NUMBERS].tolist()]
    return ", ".join(numbers) + (" …" if sample.numel() > _MOST_NUMBERS else "")


def words_of(tokens: Tensor, vocabulary: Sequence[str]) -> str:
    """Token numbers as words, without the padding (token 0); a long text loses its end.

    >>> words_of(torch.tensor([2, 3, 0, 0]), ("", "?", "open", "file"))
    'open file'
    """
    numbers = [int(t) for t in tokens.flatten() if t != 0]
    words = [vocabulary[t] if t < len(vocabulary) else str(t) for t in numbers[:_MOST_WORDS]]
    return " ".join(words) + (" …" if len(numbers) > _MOST_WORDS else "")


def mistakes_table(mistakes: Sequence[Mistake]) -> Table:
    """The mistakes as a table; pictures are left to the plot."""
    columns = [
        (text("mistake.index", "index"), [str(m.index) for m in mistakes]),
        (text("mistake.loss", "loss"), [f"{m.loss:.3f}" for m in mistakes]),
        (text("mistake.true", "true"), [m.answer.true for m in mistakes]),
        (text("mistake.predicted", "predicted"), [m.answer.predicted for m in mistakes]),
        (text("mistake.probability", "probability"), [_probability(m) for m in mistakes]),
        (text("mistake.sample", "sample"), [m.words for m in mistakes]),
    ]
    filled = [(head, cells) for head, cells in columns if any(cells)]
    right = [n for n, (head, _) in enumerate(filled) if head in {columns[i][0] for i in (0, 1, 4)}]
    rows = tuple(zip(*(cells for _, cells in filled), strict=True))
    return Table(tuple(head for head, _ in filled), rows, right, text("mistake.title", "Worst mistakes"))


def _probability(mistake: Mistake) -> str:
    share = mistake.answer.probability
    return "" if share is None else format_value(share, "fraction")
