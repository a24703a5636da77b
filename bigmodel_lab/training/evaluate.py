"""Loss and accuracy on samples that the model does not learn from."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bigmodel_lab.data import Batches
from bigmodel_lab.training.step import Task


@dataclass(frozen=True)
class Evaluation:
    """How a model does on a split."""

    loss: float
    """Mean loss over the samples."""
    accuracy: float | None
    """Share of samples classified correctly, 0 … 1; None where the output is not one score a class."""
    samples: int
    """Number of samples."""


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """The model in evaluation mode; each part returns to the mode that it was in.

    So a part that the person has frozen by ``.eval()`` stays frozen.

    >>> model = nn.Sequential(nn.Linear(1, 1), nn.Dropout())
    >>> _ = model.train(), model[1].eval()
    >>> with evaluating(model):
    ...     model.training
    False
    >>> model.training, model[1].training
    (True, False)
    """
    modes = [(part, part.training) for part in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for part, mode in modes:
            part.training = mode


def evaluate(task: Task, batches: Batches, batch_size: int) -> tuple[Tensor, Tensor]:
    """Mean loss, and number of samples classified correctly, as scalars on the device.

    Args:
        task: With the model in any mode; it is returned to it.
        batches: At least one sample.
        batch_size: Samples computed at once.
    """
    losses, corrects = [], []
    with evaluating(task.model), torch.inference_mode():
        for x, y in batches.in_order(batch_size):
            with task.arithmetic.forward():
                output = task.model(x)  # (B, classes)
                loss = task.loss(output, y)
            losses.append(loss * (y.shape[0] / len(batches)))
            corrects.append(task.count_correct(output, y))
        return torch.stack(losses).sum(), torch.stack(corrects).sum()
