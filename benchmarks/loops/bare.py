"""The bare loop: batches by index from memory, loss and accuracy of every step, nothing else."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.loops.base import Batches, Job

TITLE = "bare loop"


def run(job: Job) -> tuple[list[float], list[float]]:
    """Loss and accuracy of every step."""
    optimizer = torch.optim.Adam(job.model.parameters(), lr=job.learning_rate)
    losses, accuracies = [], []
    for x, y in Batches(job):
        loss, accuracy = step(job.model, optimizer, x, y)
        losses.append(loss)
        accuracies.append(accuracy)
    return losses, accuracies


def step(model: nn.Module, optimizer: torch.optim.Optimizer, x: Tensor, y: Tensor) -> tuple[float, float]:
    """One optimizer step; the loss and accuracy of its batch, before the weights changed."""
    optimizer.zero_grad(set_to_none=True)
    output = model(x)
    loss = F.cross_entropy(output, y)
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    return loss.item(), output.argmax(1).eq(y).sum().item() / len(y)
