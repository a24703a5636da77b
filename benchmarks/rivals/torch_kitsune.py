"""torch-kitsune: ``predict_memory`` with the model itself, ``estimate_lora_memory`` where adapters learn."""

from __future__ import annotations

from typing import Any

import torch
from kitsune.predict import estimate_lora_memory, predict_memory
from kitsune.predict.lora_estimator import LoRAConfig
from torch import Tensor

from benchmarks.measured.catalogue import catalogue
from benchmarks.measured.t4 import TARGETS
from benchmarks.rivals.answers import figures, none, serve

_FORMATS = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}
_OPTIMIZERS = ("sgd", "adam", "adamw")


def answer(asked: dict[str, Any]) -> dict[str, Any]:
    """Its one figure, 15 % for overhead included."""
    if asked["optimizer"] not in _OPTIMIZERS:
        return none("it has no such optimizer")
    program = catalogue()[asked["name"]]
    with torch.device("meta"):
        model = program.build()
    batch = program.batch("meta")
    shape = tuple(_inputs(batch).shape[1:])
    if program.adapter_rank:
        config = LoRAConfig(program.adapter_rank, TARGETS, use_qlora=program.weights == "nf4")
        said = estimate_lora_memory(model, shape, program.samples, "float32", config)
    else:
        kind = _FORMATS[program.autocast]
        said = predict_memory(model, shape, program.samples, kind, asked["optimizer"], program.is_training)
    return figures(said.total_bytes, said.total_bytes)  # it does not say which of the two


def _inputs(batch: Any) -> Tensor:
    if isinstance(batch, dict):
        batch = batch["input_ids"]
    found: Tensor = batch[0] if isinstance(batch, tuple) else batch
    return found


if __name__ == "__main__":
    serve(answer)
