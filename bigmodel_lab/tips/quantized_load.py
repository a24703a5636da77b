"""For inference: weights in 8 bits."""

from __future__ import annotations

from bigmodel_lab.i18n import text
from bigmodel_lab.tips.base import Code, Evidence, MemoryEffect, Proposal, SpeedEffect, Tip
from bigmodel_lab.units import format_bytes

_INT8_SHARE = {"least": 0.25, "most": 0.55}
"""Of the bytes of the weights that are left: a quarter from fp32, half from 16 bits, plus scales and what is no linear layer."""


def propose(evidence: Evidence) -> Proposal | None:
    """Where a model only answers, memory is short, and weights fill it."""
    short, predictor = evidence.memory_pressure, evidence.predictor
    if short is None or predictor is None or evidence.mode == "train":
        return None
    weights = predictor.estimate.by_category.get("parameter", 0)
    before = predictor.peak().allocated_bytes
    rest = before - weights
    if weights < before / 2:
        return None
    least, most = (rest + round(weights * share) for share in _INT8_SHARE.values())
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
        memory=MemoryEffect(before, (least + most) // 2, least, most),
        speed=SpeedEffect(
            0.5, 1.2, text("tip.quantized.source", "Llama-3-8B, int4, 1.89 times the tokens a second; torchao's README")
        ),
        costs=(text("tip.quantized.cost", "Changes the answers a little: compare them on data of your own."),),
        changes_arithmetic=True,
        needs_restart=True,
        code=(
            Code(
                "plain",
                f"{install}from torchao.quantization import Int8WeightOnlyConfig, quantize_\n"
                "quantize_(model, Int8WeightOnlyConfig())",
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


TIP = Tip(propose)
