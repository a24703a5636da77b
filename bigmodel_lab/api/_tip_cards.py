"""A proposal in words, as the dashboard's card and the run file hold it."""

from __future__ import annotations

from dataclasses import astuple
from typing import Any

from bigmodel_lab.i18n import Text
from bigmodel_lab.tips._verdict import Measured
from bigmodel_lab.tips.base import MemoryEffect, Proposal, SpeedEffect

FRAMEWORKS = {
    "bigmodel_lab": Text("framework.ours", "lab.fit"),
    "plain": Text("framework.plain", "Loop of your own"),
    "transformers": Text("framework.transformers", "Hugging Face Trainer, TRL"),
    "lightning": Text("framework.lightning", "Lightning"),
    "accelerate": Text("framework.accelerate", "Accelerate"),
    "diffusers": Text("framework.diffusers", "Diffusers"),
    "shell": Text("framework.shell", "Terminal"),
}
"""Names of frameworks as a person reads them."""


def card_data(proposal: Proposal, simulated: bool) -> dict[str, Any]:
    """All that a card shows of a proposal before it is applied, values of JSON.

    Args:
        proposal: Any.
        simulated: The card that it is for exists only in numbers.
    """
    return {
        "title": proposal.title,
        "why": proposal.why,
        "goal": proposal.goal,
        "predicted": predicted_lines(proposal),
        "predicted_allocated_bytes": None if proposal.memory is None else list(astuple(proposal.memory)),
        "costs": list(proposal.costs),
        "can_apply": proposal.can_apply,
        "restart": proposal.needs_restart,
        "simulated": simulated,
        "code": [
            {
                "framework": str(FRAMEWORKS.get(one.framework, one.framework)),
                "text": one.text,
                "in_mid_run": one.in_mid_run,
            }
            for one in proposal.code
        ],
    }


def measured_data(measured: Measured) -> dict[str, Any]:
    """What is recorded of a measurement beside its words: the numbers before and after, None where there are none."""
    return {
        "measured": list(measured.lines),
        "measured_allocated_bytes": measured.allocated_bytes,
        "measured_reserved_bytes": measured.reserved_bytes,
        "measured_step_seconds": measured.seconds,
        "loss_gap": measured.loss_gap,
        "loss_band": measured.loss_band,
    }


def predicted_lines(proposal: Proposal) -> list[str]:
    """The expected effects, a line each."""
    return [str(effect) for effect in _effects(proposal)]


def predicted_shortly(proposal: Proposal) -> str:
    """The expected effects in a few numbers; a dash where there is none to tell."""
    return ", ".join(effect.short for effect in _effects(proposal)) or "–"


def _effects(proposal: Proposal) -> list[MemoryEffect | SpeedEffect]:
    memory, speed = proposal.memory, proposal.speed
    told = memory is not None and abs(memory.saved_bytes) > _SAME_SHARE * memory.before_bytes
    return [*([memory] if memory is not None and told else []), *([speed] if speed is not None else [])]


_SAME_SHARE = 0.005
"""A peak that moves by less stays as it is."""
