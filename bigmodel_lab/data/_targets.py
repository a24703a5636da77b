"""What belongs to each sample, by the task: class numbers, next tokens, or numbers to predict."""

from __future__ import annotations

from collections.abc import Iterable
from math import prod

import torch
from torch import Tensor

from bigmodel_lab.data.base import Split, TaskKind
from bigmodel_lab.errors import LabelRangeError
from bigmodel_lab.i18n import text


def targets(y: Tensor, task: TaskKind) -> Tensor:
    """Targets in the type that their task has: float32 of a regression, else int64.

    Args:
        y: As it came, shape (samples,) or (samples, …).
        task: What is learned.

    Raises:
        LabelRangeError: Class numbers or tokens are expected, and some are no whole numbers.

    >>> targets(torch.tensor([0.5, 2.0]), "regression").tolist()
    [[0.5], [2.0]]
    """
    if task == "regression":
        return y.float().reshape(len(y), -1) if y.ndim == 1 else y.float()
    if task != "next_token" and y.ndim == 2 and y.shape[1] == 1:
        y = y.flatten()
    return _whole(y)


def class_count(splits: Iterable[Split], task: TaskKind) -> int:
    """Classes or tokens up to the highest one that occurs; of a regression, numbers a sample.

    Args:
        splits: All splits, at least one with samples.
        task: What is learned.

    >>> class_count([Split(torch.zeros(3, 2), torch.tensor([0, 4, 1]))], "classification")
    5
    """
    filled = [split for split in splits if len(split)]
    if task == "regression":
        return prod(filled[0].y.shape[1:])
    numbers = [split.y for split in filled] + [split.x for split in filled if task == "next_token"]
    return 1 + max(int(values.max()) for values in numbers)


def _whole(y: Tensor) -> Tensor:
    """Labels as int64.

    Raises:
        LabelRangeError: Some are not whole numbers.
    """
    whole = y.long()
    fractions = torch.nonzero((whole != y).flatten()).flatten()
    if len(fractions) == 0:
        return whole
    at = int(fractions[0])
    raise LabelRangeError(
        text(
            "error.label_fraction",
            "Labels are class numbers 0, 1, 2 …, but y[{at}] is {value}. Is y a target of a regression, "
            'or are x and y exchanged? For a regression say so: data = from_arrays((x, y), task="regression") of '
            "bigmodel_lab.data, and give that to fit or load_data.",
            at=at,
            value=float(y.flatten()[at]),
        )
    )
