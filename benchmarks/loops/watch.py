"""Ours: the bare loop under ``watch``, dashboard, samplers and run log as by default."""

from __future__ import annotations

import torch

import bigmodel_lab as lab
from benchmarks.loops.bare import step
from benchmarks.loops.base import Batches, Job

TITLE = "bigmodel_lab watch + dashboard"


def run(job: Job) -> None:
    """One pass."""
    optimizer = torch.optim.Adam(job.model.parameters(), lr=job.learning_rate)
    with lab.watch(job.model, optimizer) as w:
        for x, y in w(Batches(job)):
            loss, accuracy = step(job.model, optimizer, x, y)
            w.log(loss=loss, accuracy=accuracy)
