"""For generation: fewer new tokens, a smaller cache of keys and values."""

from __future__ import annotations

from functools import partial

from bigmodel_lab.estimate._generate import generate_step, new_tokens_of
from bigmodel_lab.i18n import text
from bigmodel_lab.tips.base import Code, Evidence, MemoryEffect, Proposal, Tip


def propose(evidence: Evidence) -> Proposal | None:
    """Where generating runs short of memory: half as many new tokens."""
    short, tokens = evidence.memory_pressure, evidence.new_tokens
    if short is None or evidence.mode != "generate" or tokens is None or tokens < 2:
        return None
    fewer = tokens // 2
    return Proposal(
        tip="kv_cache_limit",
        goal="memory",
        title=text("tip.kv_cache.title", "New tokens {before} → {after}", before=tokens, after=fewer),
        why=text(
            "tip.kv_cache.why",
            "{short} Each layer keeps keys and values of every token until the answer is complete.",
            short=short,
        ),
        memory=_effect(evidence, fewer),
        needs_restart=True,
        costs=(text("tip.kv_cache.cost", "Answers end earlier."),),
        code=(
            Code("transformers", f"model.generate(**inputs, max_new_tokens={fewer})", in_mid_run=True),
            Code(
                "transformers",
                f'model.generate(**inputs, max_new_tokens={tokens}, cache_implementation="offloaded")  # or in main memory',
                in_mid_run=True,
            ),
        ),
        weight=0.3,
    )


def _effect(evidence: Evidence, tokens: int) -> MemoryEffect | None:
    """Of generating so many; None where what was traced is not our own generation."""
    if evidence.predictor is None:
        return None
    estimate, before = evidence.predictor.estimate, evidence.predictor.peak().allocated_bytes
    if new_tokens_of(estimate.plan.step) is None:
        return None
    shorter = estimate.again(step=partial(generate_step, new_tokens=tokens))
    after = before - estimate.peak_allocated_bytes + shorter.peak_allocated_bytes
    return MemoryEffect.predicted(before, after)


TIP = Tip(propose)
