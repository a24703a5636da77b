"""Data of one's own: tensors, NumPy arrays, pairs, torch data sets, divided or not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, TensorDataset

from bigmodel_lab.data._checks import check_labels, check_not_empty, check_split, same_shapes
from bigmodel_lab.data._splits import divide, hold_out
from bigmodel_lab.data.base import Data, Division, Split
from bigmodel_lab.errors import DataError, LabelRangeError, ShapeError
from bigmodel_lab.i18n import text

PIXEL_SCALE = 1 / 255
"""Makes pixels 0 … 255 numbers 0 … 1."""
_SPLIT_NAMES = ("train", "validation", "test")


def from_arrays(
    samples: object,
    *,
    name: str = "own data",
    description: str | None = None,
    division: Division | None = None,
    classes: int | None = None,
    scale: float | None = PIXEL_SCALE,
) -> Data:
    """Data of the person's own, read once into memory and checked.

    Args:
        samples: ``(x, y)`` of tensors, arrays or lists; a torch ``Dataset`` or ``DataLoader`` of
            ``(x, y)``; or a dict with ``"train"`` and, if there are, ``"validation"`` and ``"test"``.
        name: Short name for the run.
        description: What it is; None describes the shapes.
        division: How to divide what comes undivided; None takes the defaults.
        classes: Number of classes; None counts to the highest label.
        scale: Factor for uint8 pixels; None leaves them as they are.

    Raises:
        EmptyDataError: There are no training samples.
        ShapeError: Samples and labels do not fit together.
        LabelRangeError: Labels that are not class numbers.
        DataError: Anything else that cannot be read as samples with labels.

    >>> data = from_arrays((np.zeros((100, 4)), np.arange(100) % 3))
    >>> len(data.train), len(data.validation), len(data.test), data.classes, data.input_shape
    (81, 9, 10, 3, (4,))
    """
    division = division or Division()
    parts = _parts(samples, division)
    check_not_empty("training", parts["train"])
    same_shapes(parts)
    classes = classes or 1 + max(int(part.y.max()) for part in parts.values() if len(part))
    for part_name, part in parts.items():
        check_labels(part_name, part.y, classes)
    shape = tuple(parts["train"].x.shape[1:])
    description = description or text(
        "data.own.description", "Samples of shape {shape} with labels, from arrays in memory.", shape=shape
    )
    return Data(name, description, **parts, scale=scale, classes=classes)


def _parts(samples: object, division: Division) -> dict[str, Split]:
    """The three splits, cut where they do not come divided."""
    if not isinstance(samples, Mapping):
        whole = _checked("", samples)
        check_not_empty("training", whole)
        return dict(zip(_SPLIT_NAMES, divide(whole, division), strict=True))
    unknown = [key for key in samples if key not in _SPLIT_NAMES]
    if unknown or "train" not in samples:
        raise DataError(
            text(
                "error.split_names",
                "Divided data has the keys {found}; allowed are 'train' (needed), 'validation' and 'test'.",
                found=list(samples),
            )
        )
    parts = {name: _checked(name, samples[name]) for name in _SPLIT_NAMES if name in samples}
    if "validation" not in parts:
        parts["train"], parts["validation"] = hold_out(parts["train"], division.validation_fraction, division.seed)
    if "test" not in parts:
        parts["test"] = parts["train"].select(torch.arange(0))
    return parts


def _checked(name: str, samples: object) -> Split:
    x, y = _pair(samples)
    samples_tensor = _samples(x)
    if samples_tensor.ndim == 0:
        raise ShapeError(
            text("error.scalar_samples", "x is a single number: {x!r}. Samples have shape (samples, …).", x=x)
        )
    split = Split(samples_tensor, _labels(y))
    check_split(name, split)
    return split


def _pair(samples: object) -> tuple[object, object]:
    """Samples and labels, whatever they come in."""
    if isinstance(samples, Split):
        return samples.x, samples.y
    if isinstance(samples, DataLoader):  # its batches are cut anew here, from the data set behind it
        samples = samples.dataset
    if isinstance(samples, TensorDataset):
        samples = samples.tensors  # as they lie, instead of one by one
    if isinstance(samples, Dataset):
        return _read(samples)
    if isinstance(samples, (tuple, list)) and len(samples) == 2:
        return samples[0], samples[1]
    raise DataError(
        text(
            "error.data_kind",
            "Data of type {kind} cannot be read. Give (x, y) of tensors or arrays, a torch Dataset, a dict of "
            "splits, the name of a data set, or a path.",
            kind=type(samples).__name__,
        )
    )


def _read(dataset: Dataset[Any]) -> tuple[object, object]:
    """Every sample of a torch data set, once, in memory."""
    count = len(dataset) if hasattr(dataset, "__len__") else None
    rows: Iterable[Any] = dataset if count is None else (dataset[i] for i in range(count))  # type: ignore[assignment]
    pairs = list(rows)
    x = [_tensor("x", sample) for sample, _ in pairs]
    shapes = sorted({tuple(sample.shape) for sample in x})
    if len(shapes) > 1:
        raise ShapeError(
            text(
                "error.ragged_samples",
                "The samples of the data set have different shapes: {first} and {second}. Bring them to one shape "
                "first, by a transform that crops or resizes.",
                first=shapes[0],
                second=shapes[1],
            )
        )
    return (torch.stack(x) if x else torch.empty(0)), [
        label.item() if isinstance(label, Tensor) else label for _, label in pairs
    ]


def _samples(x: object) -> Tensor:
    """Samples as uint8, float32 or int64; labels of a tensor on a GPU come to memory."""
    tensor = _tensor("x", x)
    if tensor.is_complex():
        raise DataError(text("error.complex_samples", "x holds complex numbers ({dtype}).", dtype=tensor.dtype))
    if tensor.dtype == torch.uint8:
        return tensor
    if tensor.is_floating_point() or tensor.dtype == torch.bool:
        return tensor.float()
    return tensor.long()


def _labels(y: object) -> Tensor:
    """Labels as int64.

    Raises:
        LabelRangeError: Some are not whole numbers.
    """
    tensor = _tensor("y", y)
    if tensor.ndim == 2 and tensor.shape[1] == 1:
        tensor = tensor.flatten()
    whole = tensor.long()
    fractions = torch.nonzero((whole != tensor).flatten()).flatten()
    if len(fractions):
        at = int(fractions[0])
        raise LabelRangeError(
            text(
                "error.label_fraction",
                "Labels are class numbers 0, 1, 2 …, but y[{at}] is {value}. Is y a target of a regression, "
                "or are x and y exchanged?",
                at=at,
                value=float(tensor.flatten()[at]),
            )
        )
    return whole


def _tensor(name: str, values: Any) -> Tensor:
    """A tensor in memory, without gradient."""
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
