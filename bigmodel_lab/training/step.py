"""The training step as in the textbook. The memory estimator traces this very function.

Nothing here reads a number back from the device: whatever waits for the GPU (``.item()``,
the test for NaN, the log) lies outside, in the loop that calls it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor, nn

from bigmodel_lab.training.precision import Arithmetic

LossFunction: TypeAlias = Callable[[Tensor, Tensor], Tensor]
"""Maps (output of the model, labels) to a scalar, the mean over the samples."""
CountCorrect: TypeAlias = Callable[[Tensor, Tensor], Tensor]
"""Maps (output of the model, labels) to a scalar, the number of samples classified correctly."""


@dataclass(frozen=True)
class Task:
    """What is learned: the model, and how its output is judged."""

    model: nn.Module
    """Maps a batch (samples, …) to an output, as a rule scores (samples, classes)."""
    loss: LossFunction
    """Mean loss of a batch."""
    count_correct: CountCorrect
    """Correctly classified samples of a batch."""
    arithmetic: Arithmetic
    """Number format of the forward pass."""


def training_step(
    task: Task, optimizer: torch.optim.Optimizer, micro_batches: Iterable[tuple[Tensor, Tensor]], samples: int
) -> tuple[Tensor, Tensor]:
    """One optimizer step over one or more micro-batches.

    Args:
        task: With the model in training mode.
        optimizer: Over the model's parameters.
        micro_batches: Samples and labels, at least one micro-batch; the last may be smaller.
        samples: Samples of all micro-batches together.

    Returns:
        Mean loss over all samples, and the number classified correctly before the weights
        changed; both scalars on the device, without gradient.

    >>> model = nn.Linear(2, 2)
    >>> task = Task(model, nn.functional.cross_entropy, correct_of_scores, Arithmetic())
    >>> batch = (torch.ones(4, 2), torch.tensor([0, 1, 0, 1]))
    >>> loss, correct = training_step(task, torch.optim.SGD(model.parameters(), 0.1), [batch], samples=4)
    >>> loss.requires_grad, int(correct)
    (False, 2)
    """
    optimizer.zero_grad(set_to_none=True)
    parts = [_forward_backward(task, x, y, samples) for x, y in micro_batches]
    task.arithmetic.update(optimizer)
    if len(parts) == 1:
        return parts[0]
    losses, corrects = zip(*parts, strict=True)
    return torch.stack(losses).sum(), torch.stack(corrects).sum()


def _forward_backward(task: Task, x: Tensor, y: Tensor, samples: int) -> tuple[Tensor, Tensor]:
    """Adds a micro-batch's gradients; its part of the mean loss and its correct samples."""
    with task.arithmetic.forward():
        output = task.model(x)  # (micro-batch, classes)
        loss = task.loss(output, y)
    own = y.shape[0]
    if own != samples:  # weighted by its samples, so that unequal micro-batches give the gradient of the whole
        loss = loss * (own / samples)
    task.arithmetic.backward(loss)
    return loss.detach(), task.count_correct(output, y)


def correct_of_scores(scores: Tensor, labels: Tensor) -> Tensor:
    """How many samples have their highest score at their label.

    >>> float(correct_of_scores(torch.tensor([[0.1, 0.9], [0.8, 0.2]]), torch.tensor([1, 1])))
    1.0
    """
    return scores.argmax(1).eq(labels).sum()


def correct_unknown(scores: Tensor, labels: Tensor) -> Tensor:  # noqa: ARG001 - the shape of CountCorrect
    """NaN: the output is not one score a class, so nothing can be said about accuracy.

    >>> float(correct_unknown(torch.zeros(2, 1), torch.zeros(2)))
    nan
    """
    return scores.new_full((), torch.nan, dtype=torch.float32)
