"""The bare loop under tqdm as tutorials write it: the notebook's bar, loss and accuracy as its postfix."""

from __future__ import annotations

import torch
from tqdm.auto import tqdm  # type: ignore[import-untyped]

from benchmarks.loops.bare import step
from benchmarks.loops.base import Batches, Job

TITLE = "tqdm.auto + set_postfix each step"


def run(job: Job) -> None:
    """One pass under the bar."""
    optimizer = torch.optim.Adam(job.model.parameters(), lr=job.learning_rate)
    bar = tqdm(Batches(job))
    for x, y in bar:
        loss, accuracy = step(job.model, optimizer, x, y)
        bar.set_postfix(loss=loss, accuracy=accuracy)
