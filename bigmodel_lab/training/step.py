"""The training step as in the textbook. The memory estimator traces this very function.

Nothing here reads a number back from the device: whatever waits for the GPU (``.item()``,
the test for NaN, the log) lies outside, in the loop that calls it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor, nn

from bigmodel_lab.models import HandWritten
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
    by_hand: HandWritten | None = None
    """The same model where it computes its gradients itself; None leaves them to autograd."""
    penalty: Callable[[], Tensor] | None = None
    """What is added to the loss for the sake of small weights, a scalar; None adds nothing."""


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

    >>> from bigmodel_lab.training.objectives import correct_of_scores
    >>> model = nn.Linear(2, 2)
    >>> task = Task(model, nn.functional.cross_entropy, correct_of_scores, Arithmetic())
    >>> batch = (torch.ones(4, 2), torch.tensor([0, 1, 0, 1]))
    >>> loss, correct = training_step(task, torch.optim.SGD(model.parameters(), 0.1), [batch], samples=4)
    >>> loss.requires_grad, int(correct)
    (False, 2)
    """
    if isinstance(optimizer, torch.optim.LBFGS):
        return _line_search(task, optimizer, tuple(micro_batches), samples)
    measured = _gradients(task, optimizer, micro_batches, samples)
    task.arithmetic.update(optimizer)
    return measured


def _line_search(
    task: Task, optimizer: torch.optim.LBFGS, micro_batches: Sequence[tuple[Tensor, Tensor]], samples: int
) -> tuple[Tensor, Tensor]:
    """A step of an optimizer that asks for the loss at several places; what was measured at the first of them."""
    measured = []

    def closure() -> Tensor:
        loss, correct = _gradients(task, optimizer, micro_batches, samples)
        measured.append((loss, correct))
        return loss if task.penalty is None else loss + task.penalty().detach()

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    return measured[0]


def _gradients(
    task: Task, optimizer: torch.optim.Optimizer, micro_batches: Iterable[tuple[Tensor, Tensor]], samples: int
) -> tuple[Tensor, Tensor]:
    """Fresh gradients of the mean loss over all micro-batches; that loss, and the correct samples."""
    optimizer.zero_grad(set_to_none=True)
    parts = [_forward_backward(task, x, y, samples) for x, y in micro_batches]
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
    if task.by_hand is not None:
        task.by_hand.backward_by_hand(output, y, own / samples)
        return loss.detach(), task.count_correct(output, y)
    correct = task.count_correct(output, y)
    del (
        output
    )  # the backward pass needs what autograd has saved; beside it the scores of a large vocabulary are as large again
    task.arithmetic.backward(loss if task.penalty is None else loss + task.penalty() * (own / samples))
    return loss.detach(), correct
