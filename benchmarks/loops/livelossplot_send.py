"""The bare loop with livelossplot: every step is recorded, the picture is drawn every ``job.every`` steps."""

from __future__ import annotations

import torch
from livelossplot import PlotLosses  # type: ignore[import-untyped]

from benchmarks.loops.bare import step
from benchmarks.loops.base import Batches, Job

TITLE = "livelossplot, send() now and then"


def run(job: Job) -> None:
    """One pass with pictures."""
    optimizer = torch.optim.Adam(job.model.parameters(), lr=job.learning_rate)
    plot = PlotLosses()
    for number, (x, y) in enumerate(Batches(job), start=1):
        loss, accuracy = step(job.model, optimizer, x, y)
        plot.update({"loss": loss, "accuracy": accuracy})
        if number % job.every == 0:
            plot.send()
