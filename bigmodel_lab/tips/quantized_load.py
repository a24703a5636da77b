"""For inference: weights in 8 bits."""

from __future__ import annotations

from torch import Tensor, nn

from bigmodel_lab.i18n import text
from bigmodel_lab.tips._effects import SPREAD
from bigmodel_lab.tips._predict import Predictor
from bigmodel_lab.tips._words import saves
from bigmodel_lab.tips.base import Code, Evidence, MemoryEffect, Proposal, SpeedEffect, Tip
from bigmodel_lab.units import format_bytes

_WORTH = 0.1
"""A smaller saving is not worth other answers (our choice)."""
_SCALE_BYTES = 4
"""One scale a row of a weight, in fp32 at most."""


def propose(evidence: Evidence) -> Proposal | None:
    """Where a model only answers, memory is short, and weights fill it."""
    short, predictor = evidence.memory_pressure, evidence.predictor
    if short is None or predictor is None or evidence.mode == "train":
        return None
    effect = _effect(predictor)
    if not saves(effect, _WORTH):
        return None
    weights = predictor.estimate.by_category.get("parameter", 0)
    install = "" if "torchao" in evidence.platform.packages else "# pip install torchao\n"
    return Proposal(
        tip="quantized_load",
        goal="memory",
        title=text("tip.quantized.title", "Weights in int8"),
        why=text(
            "tip.quantized.why",
            "{short} {weights} of it are weights, which an answer only reads.",
            short=short,
            weights=format_bytes(weights),
        ),
        memory=effect,
        speed=SpeedEffect(
            0.62,
            1.5,
            text(
                "tip.quantized.source",
                "A100, Llama-3-8B, compiled and one text at a time 1.60 times the tokens a second, torchao's README; not "
                "published for larger batches or without compiling",
            ),
        ),
        costs=(text("tip.quantized.cost", "Changes the answers a little: compare them on data of your own."),),
        changes_arithmetic=True,
        needs_restart=True,
        code=(
            Code(
                "plain",
                f"{install}from torchao.quantization import Int8WeightOnlyConfig, quantize_\n"
                'quantize_(model, Int8WeightOnlyConfig(), device="cuda")  # from the CPU, one layer after the other',
                in_mid_run=False,
            ),
            Code(
                "transformers",
                "from transformers import BitsAndBytesConfig\n"
                "model = AutoModelForCausalLM.from_pretrained(name, "
                "quantization_config=BitsAndBytesConfig(load_in_8bit=True))",
                in_mid_run=False,
            ),
        ),
        weight=0.5,
    )


def _effect(predictor: Predictor) -> MemoryEffect:
    """``quantize_`` converts linear layers and no others; uncompiled, each is a matrix of full numbers while it multiplies."""
    parts = list(predictor.estimate.plan.model().modules())
    linear = {id(part.weight): part.weight for part in parts if isinstance(part, nn.Linear)}
    others = {id(own) for part in parts if not isinstance(part, nn.Linear) for own in part.parameters(recurse=False)}
    # One that is tied to an embedding stays there in full beside its int8.
    full = sum(_bytes(weight) for number, weight in linear.items() if number not in others)
    int8 = sum(weight.numel() + _SCALE_BYTES * len(weight) for weight in linear.values())
    one = max(map(_bytes, linear.values()), default=0)
    before = predictor.peak().allocated_bytes
    after = before - max(0, full - int8)
    return MemoryEffect(before, after + one, round((1 - SPREAD) * after), round((1 + SPREAD) * (after + one)))


def _bytes(weight: Tensor) -> int:
    return weight.numel() * weight.element_size()


TIP = Tip(propose)
