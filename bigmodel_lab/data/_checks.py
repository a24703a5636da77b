"""What must hold before data can be trained on, and the words when it does not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from bigmodel_lab.data.base import Data, Split, TaskKind
from bigmodel_lab.errors import EmptyDataError, LabelRangeError, ShapeError
from bigmodel_lab.i18n import text

_SHOWN = 5  # bad labels that a message lists


def check_split(name: str, split: Split, task: TaskKind = "classification") -> None:
    """Samples and labels of one split fit together.

    Raises:
        ShapeError: The labels are not one a sample, or what the task has instead.
    """
    if task in {"regression", "next_token"}:
        _check_targets(name, split, task)
        return
    if split.y.shape == split.x.shape[:1]:
        return
    raise ShapeError(
        text(
            "error.labels_per_sample",
            "The {name} samples have shape {x} and their labels shape {y}. There must be one label a sample: "
            "labels of shape ({samples},). One-hot labels become class numbers with y.argmax(1).",
            name=name,
            x=tuple(split.x.shape),
            y=tuple(split.y.shape),
            samples=len(split) if split.x.ndim else 0,
        )
    )


def _check_targets(name: str, split: Split, task: TaskKind) -> None:
    """Targets that are no class numbers: as many as samples, and next tokens in the shape of the samples."""
    whole = task == "next_token"
    if split.y.shape == split.x.shape if whole else split.y.shape[:1] == split.x.shape[:1]:
        return
    raise ShapeError(
        text(
            "error.target_shape",
            "The {name} samples have shape {x} and what is to be learned from them {y}. For the task {task} it must {rule}.",
            name=name,
            x=tuple(split.x.shape),
            y=tuple(split.y.shape),
            task=task,
            rule="have the shape of the samples" if whole else "be one row a sample: (samples, …)",
        )
    )


def check_not_empty(name: str, split: Split) -> None:
    """There is at least one sample.

    Raises:
        EmptyDataError: There is none.
    """
    if len(split) == 0:
        raise EmptyDataError(
            text(
                "error.empty_data",
                "There are no {name} samples: x has shape {x}. At least one is needed; look at how the data "
                "is read, and at validation_fraction and test_fraction.",
                name=name,
                x=tuple(split.x.shape),
            )
        )


def check_labels(name: str, y: Tensor, classes: int) -> None:
    """Every label is a class number.

    Raises:
        LabelRangeError: Some are not; names the first of them and where they stand.
    """
    wrong = torch.nonzero((y < 0) | (y >= classes)).flatten()
    if len(wrong) == 0:
        return
    first = ", ".join(f"y[{int(i)}] = {int(y[i])}" for i in wrong[:_SHOWN])
    raise LabelRangeError(
        text(
            "error.label_range",
            "{count} of {total} {name} labels are outside 0 … {last}: {first}{more}. With {classes} classes, "
            "labels run from 0 to {last}. Number the classes from 0, or use a model with more classes.",
            count=len(wrong),
            total=len(y),
            name=name,
            last=classes - 1,
            first=first,
            more=" …" if len(wrong) > _SHOWN else "",
            classes=classes,
        )
    )


def same_shapes(splits: dict[str, Split]) -> None:
    """All splits hold samples of one shape.

    Raises:
        ShapeError: They do not; names both shapes.
    """
    expected = tuple(splits["train"].x.shape[1:])
    for name, split in splits.items():
        if tuple(split.x.shape[1:]) != expected:
            raise ShapeError(
                text(
                    "error.split_shapes",
                    "The {name} samples have shape {found}, the training samples {expected}. "
                    "All must have the same shape.",
                    name=name,
                    found=tuple(split.x.shape[1:]),
                    expected=expected,
                )
            )


def suit_model(data: Data, input_shape: Sequence[int], classes: int | None = None) -> Data:
    """The data in the shape that a model takes: the same, or with the channel of grey images added.

    Args:
        data: Any data.
        input_shape: Shape of one sample as the model takes it, e.g. ``(1, 28, 28)``.
        classes: Width of the model's output; None: that of the data.

    Raises:
        ShapeError: The samples have another shape; names both.
        LabelRangeError: A label is not below ``classes``.

    >>> from bigmodel_lab.data import from_arrays
    >>> data = from_arrays((torch.zeros(30, 28, 28), torch.zeros(30)))
    >>> suit_model(data, (1, 28, 28), classes=10).input_shape
    (1, 28, 28)
    """
    wanted = tuple(input_shape)
    if data.input_shape != wanted and (1, *data.input_shape) == wanted:
        data = add_channel(data)
    if data.input_shape != wanted:
        raise ShapeError(
            text(
                "error.sample_shape",
                "A sample of {name} has shape {found}; the model takes {wanted}. Reshape the samples "
                "to (number of samples, {numbers}), or use a model made for {found}.",
                name=data.name,
                found=data.input_shape,
                wanted=wanted,
                numbers=", ".join(map(str, wanted)),
            )
        )
    classes = classes or data.classes
    if data.task == "classification":
        for name, split in data.splits.items():
            check_labels(name, split.y, classes)
    return replace(data, classes=classes)


def add_channel(data: Data) -> Data:
    """The same images with one channel: (N, H, W) becomes (N, 1, H, W), without a copy."""
    train, validation, test = (Split(split.x.unsqueeze(1), split.y) for split in data.splits.values())
    return replace(data, train=train, validation=validation, test=test)
