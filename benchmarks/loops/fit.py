"""Ours: ``fit`` with its dashboard, samplers and run log, all as by default."""

from __future__ import annotations

import bigmodel_lab as lab
from benchmarks.loops.base import Job

TITLE = "bigmodel_lab fit + dashboard"


def run(job: Job) -> None:
    """One pass."""
    lab.fit(
        job.model,
        job.data,
        epochs=1,
        micro_batch_size=job.batch,
        max_steps=job.steps,
        optimizer="adam",
        learning_rate=job.learning_rate,
        device="cpu",
    )
