"""Whatever holds numbers, as one tensor in memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from bigmodel_lab.errors import DataError, ShapeError
from bigmodel_lab.i18n import text


def as_tensor(name: str, values: Any) -> Tensor:
    """A tensor in memory, without gradient.

    Args:
        name: What the values are called in messages, e.g. ``"x"``.
        values: A tensor on any device, an array, nested lists of numbers, or a number.

    Raises:
        ShapeError: Nested lists of different lengths.
        DataError: What they hold is no number.

    >>> as_tensor("x", [[1, 2], [3, 4]]).shape
    torch.Size([2, 2])
    """
    if isinstance(values, Tensor):
        return values.detach().cpu()
    try:
        array = np.ascontiguousarray(values)
    except ValueError as error:
        raise ShapeError(
            text("error.ragged_array", "{name} cannot become one array: {error}", name=name, error=error)
        ) from error
    if array.dtype.kind not in "biuf":
        raise DataError(
            text(
                "error.not_numbers",
                "{name} holds {dtype}, not numbers. Turn words or categories into numbers first.",
                name=name,
                dtype=array.dtype,
            )
        )
    if array.dtype.kind == "u" and array.itemsize > 1:
        array = array.astype(np.int64)  # torch knows few operations on wide unsigned numbers
    native = array.astype(array.dtype.newbyteorder("="), copy=not array.flags.writeable)
    return torch.from_numpy(native).reshape(np.shape(values))
