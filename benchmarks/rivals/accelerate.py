"""Accelerate: what ``accelerate estimate-memory`` computes, over the model itself in the place of one from the Hub.

The command takes nothing but a name on the Hub; behind it stand the two functions that are called here.
"""

from __future__ import annotations

from typing import Any

import torch
from accelerate.commands.estimate import estimate_training_usage
from accelerate.utils import calculate_maximum_sizes

from benchmarks.measured.catalogue import catalogue
from benchmarks.rivals.answers import figures, none, serve

_FORMATS = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}


def answer(asked: dict[str, Any]) -> dict[str, Any]:
    """Its column "Training using Adam", the largest of its figures; of inference its column "Total Size"."""
    if asked["adapter_rank"]:
        return none("it knows no adapters")
    if asked["is_training"] and asked["optimizer"] not in {"adam", "adamw"}:
        return none("its figure is one for Adam")
    program = catalogue()[asked["name"]]
    with torch.device("meta"):
        model = program.build()
    size, _ = calculate_maximum_sizes(model)
    if program.is_training:
        size = max(estimate_training_usage(size, _FORMATS[program.autocast]).values())
    return figures(size, size)  # it does not say which of the two


if __name__ == "__main__":
    serve(answer)
