"""This library's own estimate of a measured program, asked as its documents say."""

from __future__ import annotations

from typing import Any

import bigmodel_lab as lab
from benchmarks.measured.program import Program
from benchmarks.measured.t4 import TARGETS

_NF4 = {"load_in_4bit": True, "bnb_4bit_compute_dtype": "float16"}


def estimate(program: Program, gpu: Any) -> Any:
    """Two steps, or one pass of inference.

    Args:
        program: What was run.
        gpu: Name of the card, or the card.

    Raises:
        BigModelLabError: The library cannot say.
    """
    precision: Any = program.autocast
    inference: dict[str, Any] = {} if program.is_training else {"mode": "inference", "grad": program.grad}
    return lab.estimate_memory(
        program.build,
        program.batch("meta"),
        step=program.step,
        optimizer=program.optimizer,
        optimizer_options=program.options or None,
        precision=precision,
        gpu=gpu,
        weights=_NF4 if program.weights == "nf4" else None,
        adapters=lab.Lora(TARGETS, rank=program.adapter_rank) if program.adapter_rank else None,
        gradient_accumulation_steps=program.micro_batches,
        **inference,
    )
