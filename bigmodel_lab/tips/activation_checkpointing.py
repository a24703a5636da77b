"""Activations of some modules are computed again in the backward pass: memory for time, and nothing else changes."""

from __future__ import annotations

from collections.abc import Sequence

from bigmodel_lab.errors import BigModelLabError
from bigmodel_lab.i18n import text
from bigmodel_lab.memory.timeline import largest_at
from bigmodel_lab.tips._predict import Predictor
from bigmodel_lab.tips._words import saves
from bigmodel_lab.tips.base import Evidence, Proposal, SpeedEffect, Tip
from bigmodel_lab.training.checkpointing import repeated_blocks

_WORTH, _WORTH_ALONE = 0.05, 0.1
"""A smaller saving is not worth another forward pass: where the step has room then, and where it still has none (our choice)."""
_ROOM = 0.1
"""Where a step fits by its prediction and is short of memory all the same, so much less makes room (our choice)."""
_FORWARD_SHARE = 0.33
"""Of a step, the forward pass takes about a third: the backward pass computes two products for each of its one."""


def propose(evidence: Evidence) -> Proposal | None:
    """Where memory is short: as few modules as make the step fit, those with the largest activations first."""
    short, predictor = evidence.memory_pressure, evidence.predictor
    if short is None or predictor is None or evidence.mode != "train" or evidence.config.activation_checkpointing:
        return None
    try:
        names = _chosen(evidence, _candidates(predictor))
    except BigModelLabError:  # a module that cannot be run twice without data
        return None
    if not names:
        return None
    effect = evidence.memory_after(activation_checkpointing=names)
    if not _is_enough(evidence, names) and not saves(effect, _WORTH if evidence.would_fit() else _WORTH_ALONE):
        return None
    return Proposal(
        tip="activation_checkpointing",
        goal="memory",
        title=_title(len(names)),
        why=text(
            "tip.checkpointing.why",
            "{short} The largest activations are those of {names}: they can be computed again when the backward pass needs "
            "them.",
            short=short,
            names=_listed(names),
        ),
        change={"activation_checkpointing": names},
        memory=effect,
        speed=SpeedEffect(
            1.0,
            1 + _FORWARD_SHARE,
            text("tip.checkpointing.source", "at most one more forward pass; Chen et al. 2016, arXiv 1604.06174"),
        ),
        costs=(text("tip.checkpointing.cost", "Time: the forward pass of these modules runs twice."),),
        safe=True,
        weight=0.5,
    )


def _candidates(predictor: Predictor) -> list[str]:
    """Repeated blocks where there are any, else the model's own parts; those with the largest activations at the peak first."""
    model = predictor.estimate.plan.model()
    blocks = {id(block) for block in repeated_blocks(model)}
    names = [name for name, module in model.named_modules() if id(module) in blocks]
    if not names:
        names = [name for name, child in model.named_children() if any(True for _ in child.children())]
    held = {name: _activations(predictor, name) for name in names}
    return sorted((name for name in names if held[name]), key=lambda name: -held[name])


def _activations(predictor: Predictor, module: str) -> int:
    estimate = predictor.estimate
    alive = largest_at(estimate.trace, estimate.replay.peak_position, len(estimate.trace.allocations))
    return sum(
        one.bytes
        for one in alive
        if one.category == "activation" and (one.module == module or one.module.startswith(f"{module}."))
    )


def _chosen(evidence: Evidence, candidates: Sequence[str]) -> tuple[str, ...]:
    """The fewest of them that are enough, by halving; all where even that does not suffice."""
    if not candidates:
        return ()
    low, high = 0, len(candidates)
    while high - low > 1:
        middle = (low + high) // 2
        if _is_enough(evidence, candidates[:middle]):
            high = middle
        else:
            low = middle
    return tuple(candidates[:high])


def _is_enough(evidence: Evidence, names: Sequence[str]) -> bool:
    """The step fits with them. Where it was predicted to fit without, and memory is short, that says nothing: it must shrink."""
    change = {"activation_checkpointing": tuple(names)}
    if evidence.would_fit():
        return saves(evidence.memory_after(**change), _ROOM)
    return bool(evidence.would_fit(**change))


def _listed(names: Sequence[str]) -> str:
    first = ", ".join(names[:3])
    rest = len(names) - 3
    return text("tip.checkpointing.more", "{first} and {rest} more", first=first, rest=rest) if rest > 0 else first


def _title(count: int) -> str:
    if count == 1:
        return text("tip.checkpointing.title_one", "Activation checkpointing of one module")
    return text("tip.checkpointing.title", "Activation checkpointing of {count} modules", count=count)


TIP = Tip(propose)
