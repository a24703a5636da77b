"""The optimizer keeps its states in 8 bits."""

from __future__ import annotations

from bigmodel_lab.errors import BigModelLabError
from bigmodel_lab.estimate._small_states import states_only
from bigmodel_lab.i18n import text
from bigmodel_lab.tips.base import Code, Evidence, MemoryEffect, Proposal, SpeedEffect, Tip
from bigmodel_lab.units import format_bytes, format_value

_STATE_SHARE = 0.25
"""Below this share of the peak the states are not what fills the card (our choice)."""
_FEWEST_PARAMETERS = 10_000_000
"""Smaller models have small states (our choice)."""
_CLASSES = {"adam": "Adam8bit", "adamw": "AdamW8bit"}
"""Their classes in ``torchao.optim`` and in ``bitsandbytes.optim``, with the arguments of torch's own."""
_KEPT = ("betas", "eps", "weight_decay")
"""Options that all three have; the others say how torch computes."""


def propose(evidence: Evidence) -> Proposal | None:
    """Where memory is short and much of it are the states of Adam or AdamW."""
    config, predictor, model = evidence.config, evidence.predictor, evidence.model
    short = evidence.memory_pressure
    if short is None or predictor is None or model is None or config.optimizer not in _CLASSES:
        return None
    estimate = predictor.estimate
    states = estimate.by_category.get("optimizer_state", 0)
    share = states / max(1, estimate.peak_allocated_bytes)
    if share < _STATE_SHARE or model.trainable_parameters < _FEWEST_PARAMETERS:
        return None
    return Proposal(
        tip="eight_bit_optimizer",
        goal="memory",
        title=text("tip.eight_bit.title", "{name}: the optimizer's states in 8 bits", name=_CLASSES[config.optimizer]),
        why=text(
            "tip.eight_bit.why",
            "{short} The optimizer's states are {states}, {share} of the peak.",
            short=short,
            states=format_bytes(states),
            share=format_value(round(share, 2), "fraction"),
        ),
        memory=_effect(evidence),
        speed=SpeedEffect(
            0.99,
            1.10,
            text(
                "tip.eight_bit.source",
                "ViT-H 41.9 → 42.5 images/s, Llama2-7B 3200 → 2900 tokens/s; torchao's optim README",
            ),
        ),
        costs=(
            text(
                "tip.eight_bit.cost", "Changes the arithmetic, and the optimizer's state begins anew in another format."
            ),
        ),
        changes_arithmetic=True,
        needs_restart=True,
        code=_code(evidence),
        weight=0.3,
    )


def _effect(evidence: Evidence) -> MemoryEffect | None:
    """By the size rules of bitsandbytes; torchao's states are as large within the scales."""
    assert evidence.predictor is not None
    estimate = evidence.predictor.estimate
    before = evidence.predictor.peak().allocated_bytes
    try:
        after = (
            before
            - estimate.peak_allocated_bytes
            + estimate.again(optimizer=states_only("adamw_8bit")).peak_allocated_bytes
        )
    except BigModelLabError:
        return None
    return MemoryEffect.predicted(before, after)


def _code(evidence: Evidence) -> tuple[Code, ...]:
    config, packages = evidence.config, evidence.platform.packages
    name = _CLASSES[config.optimizer]
    options = {"lr": config.learning_rate, **{k: v for k, v in config.optimizer_options.items() if k in _KEPT}}
    made = f"{name}(model.parameters(), {', '.join(f'{k}={v!r}' for k, v in options.items())})"
    ao = f"from torchao.optim import {name}\noptimizer = {made}"
    bnb = f"import bitsandbytes as bnb\noptimizer = bnb.optim.{made}"
    missing = "" if packages & {"torchao", "bitsandbytes"} else "# pip install torchao\n"
    plain = bnb if "bitsandbytes" in packages and "torchao" not in packages else missing + ao
    found = [Code("plain", plain, in_mid_run=False)]
    if config.optimizer == "adamw":  # it has no Adam in 8 bits
        arguments = 'TrainingArguments(optim="adamw_bnb_8bit")  # needs bitsandbytes'
        found.append(Code("transformers", arguments, in_mid_run=False))
    return tuple(found)


TIP = Tip(propose)
