"""Data of one's own: tensors, NumPy arrays, pairs, torch data sets, divided or not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, TensorDataset

from bigmodel_lab.data._checks import check_labels, check_not_empty, check_split, same_shapes
from bigmodel_lab.data._frames import plain_arrays
from bigmodel_lab.data._splits import divide, hold_out
from bigmodel_lab.data._targets import class_count, targets
from bigmodel_lab.data._tensors import as_tensor
from bigmodel_lab.data.base import Data, Division, Split, TaskKind
from bigmodel_lab.errors import DataError, ShapeError
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
    task: TaskKind = "classification",
    class_names: Sequence[str] = (),
    notes: Sequence[str] = (),
) -> Data:
    """Data of the person's own, read once into memory and checked.

    Args:
        samples: ``(x, y)`` of tensors, arrays, lists or pandas ``DataFrame`` and ``Series``; a ``DataFrame`` whose
            label column is named label, target, class or y or is the last; a torch ``Dataset`` or ``DataLoader`` of
            ``(x, y)``; or a dict with ``"train"`` and, if there are, ``"validation"`` and ``"test"``.
        name: Short name for the run.
        description: What it is; None describes the shapes.
        division: How to divide what comes undivided; None takes the defaults.
        classes: Number of classes; None counts to the highest label.
        scale: Factor for uint8 pixels; None leaves them as they are.
        task: What is learned. ``"regression"``: y are float numbers, (samples,) or (samples, …); (samples,) becomes
            (samples, 1), which a model with one output gives. ``"next_token"``: y are token numbers in the shape of x.
        class_names: What the classes are called, in the order of their numbers; empty where they are just numbers.
        notes: What was noticed while reading.

    Raises:
        EmptyDataError: There are no training samples.
        ShapeError: Samples and labels do not fit together.
        LabelRangeError: Labels that are not class numbers, where these are expected.
        DataError: Anything else that cannot be read as samples with labels.

    >>> data = from_arrays((torch.zeros(100, 4), torch.arange(100) % 3))
    >>> len(data.train), len(data.validation), len(data.test), data.classes, data.input_shape
    (81, 9, 10, 3, (4,))
    >>> data = from_arrays((torch.zeros(100, 4), torch.linspace(0, 1, 100)), task="regression")
    >>> data.task, data.train.y.shape
    ('regression', torch.Size([81, 1]))
    """
    plain = plain_arrays(samples)
    parts = _parts(plain.samples, division or Division(), task)
    check_not_empty("training", parts["train"])
    same_shapes(parts)
    classes = classes or class_count(parts.values(), task)
    for part_name, part in parts.items():
        if task != "regression":
            check_labels(part_name, part.y.flatten(), classes)
    return Data(
        name,
        description or _described(parts["train"]),
        parts["train"],
        parts["validation"],
        parts["test"],
        scale=scale,
        classes=classes,
        task=task,
        class_names=tuple(class_names) or plain.class_names,
        notes=(*notes, *plain.notes),
    )


def _described(train: Split) -> str:
    shape = tuple(train.x.shape[1:])
    return text("data.own.description", "Samples of shape {shape} with labels, from arrays in memory.", shape=shape)


def _parts(samples: object, division: Division, task: TaskKind) -> dict[str, Split]:
    """The three splits, cut where they do not come divided."""
    if not isinstance(samples, Mapping):
        whole = _checked("", samples, task)
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
    parts = {name: _checked(name, samples[name], task) for name in _SPLIT_NAMES if name in samples}
    if "validation" not in parts:
        parts["train"], parts["validation"] = hold_out(parts["train"], division.validation_fraction, division.seed)
    if "test" not in parts:
        parts["test"] = parts["train"].select(torch.arange(0))
    return parts


def _checked(name: str, samples: object, task: TaskKind) -> Split:
    x, y = _pair(samples)
    samples_tensor = _samples(x)
    if samples_tensor.ndim == 0:
        raise ShapeError(
            text("error.scalar_samples", "x is a single number: {x!r}. Samples have shape (samples, …).", x=x)
        )
    split = Split(samples_tensor, targets(as_tensor("y", y), task))
    check_split(name, split, task)
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
    odd = next((type(row).__name__ for row in pairs if not isinstance(row, (tuple, list)) or len(row) != 2), None)
    if odd:
        raise DataError(
            text(
                "error.dataset_pairs",
                "The data set gives samples of type {kind} that are no pairs. Each must be (x, y): sample and label.",
                kind=odd,
            )
        )
    x = [as_tensor("x", sample) for sample, _ in pairs]
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
        label.tolist() if isinstance(label, Tensor) else label for _, label in pairs
    ]


def _samples(x: object) -> Tensor:
    """Samples as uint8, float32 or int64; labels of a tensor on a GPU come to memory."""
    tensor = as_tensor("x", x)
    if tensor.is_complex():
        raise DataError(text("error.complex_samples", "x holds complex numbers ({dtype}).", dtype=tensor.dtype))
    if tensor.dtype == torch.uint8:
        return tensor
    if tensor.is_floating_point() or tensor.dtype == torch.bool:
        return tensor.float()
    return tensor.long()
