"""Samples of the person's own for a trained model: as the data that it was trained on, or an error that says how."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from bigmodel_lab.data import Data
from bigmodel_lab.data._tensors import as_tensor
from bigmodel_lab.errors import DataError, EmptyDataError, ShapeError
from bigmodel_lab.i18n import text

_BRIGHTEST = 255


def as_samples(x: Any, data: Data) -> Tensor:
    """Samples in the type and shape of those that the model was trained on.

    Args:
        x: One sample or several, as tensor, array or lists; grey images may come without their channel.
            Of text: a string or several, turned into tokens by the vocabulary of the data.
        data: What the model was trained on.

    Returns:
        Shape (samples, *input_shape). Whole numbers become pixels (uint8, still to be scaled) where the data
        has pixels; fractional ones count as scaled already.

    Raises:
        ShapeError: Another shape; says which are allowed.
        EmptyDataError: There is no sample.
        DataError: Anything else that cannot be read as such samples.

    >>> from bigmodel_lab.data import load_data
    >>> as_samples(torch.zeros(28, 28, dtype=torch.uint8), load_data("digits")).shape
    torch.Size([1, 1, 28, 28])
    """
    texts = _texts(x)
    samples = _batched(as_tensor("x", x), data) if texts is None else _encoded(texts, data)
    if len(samples) == 0:
        raise EmptyDataError(text("error.no_samples", "There is no sample to compute: x has length 0."))
    return _typed(samples, data)


def _texts(x: Any) -> list[str] | None:
    """The strings of which x consists; None when it is something else."""
    if isinstance(x, str):
        return [x]
    words = isinstance(x, np.ndarray) and x.dtype.kind in "UO"
    rows = list(x) if words or isinstance(x, (list, tuple)) else []
    return rows if rows and all(isinstance(row, str) for row in rows) else None


def _encoded(texts: list[str], data: Data) -> Tensor:
    """Token numbers of texts, shape (texts, length)."""
    if not data.vocabulary:
        raise DataError(
            text(
                "error.text_for_numbers",
                "x is text, but {data} has no vocabulary: its samples are numbers of shape {shape}.",
                data=data.name,
                shape=data.input_shape,
            )
        )
    from bigmodel_lab.data._tokens import Tokenizer

    return Tokenizer(data.vocabulary).encode_all(texts, data.input_shape[0])


def _batched(x: Tensor, data: Data) -> Tensor:
    """Samples with their batch, shape (samples, *input_shape)."""
    wanted = data.input_shape
    found = tuple(x.shape)
    if found == wanted:
        return x.unsqueeze(0)
    if found[1:] == wanted:
        return x
    if (1, *found) == wanted:
        return x[None, None]
    if (1, *found[1:]) == wanted:
        return x.unsqueeze(1)
    shown = ", ".join(map(str, wanted))
    raise ShapeError(
        text(
            "error.sample_to_predict",
            "x has shape {found}. The model was trained on {data}: give one sample of shape ({shown}{comma}), or "
            "several of shape (samples, {shown}).",
            found=found,
            data=data.name,
            shown=shown,
            comma="," if len(wanted) == 1 else "",
        )
    )


def _typed(x: Tensor, data: Data) -> Tensor:
    """The numbers as they were in training: pixels, values or tokens."""
    trained = data.train.x.dtype
    if trained == torch.int64:
        return _tokens(x, data)
    if trained == torch.uint8 and not x.is_floating_point():
        if x.dtype != torch.uint8 and ((x < 0) | (x > _BRIGHTEST)).any():
            raise _outside(x, _BRIGHTEST, text("samples.pixels", "pixels"))
        return x.to(torch.uint8)
    return x.float()


def _tokens(x: Tensor, data: Data) -> Tensor:
    if x.is_floating_point():
        raise DataError(
            text(
                "error.fractional_tokens",
                "x holds {dtype}, but {data} has token numbers. Give whole numbers (int64), or texts.",
                dtype=x.dtype,
                data=data.name,
            )
        )
    if data.vocabulary and ((x < 0) | (x >= len(data.vocabulary))).any():
        raise _outside(x, len(data.vocabulary) - 1, text("samples.tokens", "token numbers"))
    return x.long()


def _outside(x: Tensor, last: int, what: str) -> DataError:
    return DataError(
        text(
            "error.samples_outside",
            "x runs from {low} to {high}, but {what} run from 0 to {last}.",
            low=int(x.min()),
            high=int(x.max()),
            what=what,
            last=last,
        )
    )
