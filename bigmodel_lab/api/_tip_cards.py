"""A proposal in words, as the dashboard's card and the run file hold it."""

from __future__ import annotations

from typing import Any

from bigmodel_lab.i18n import Text
from bigmodel_lab.tips.base import Proposal

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


def predicted_lines(proposal: Proposal) -> list[str]:
    """The expected effects, a line each."""
    return [str(effect) for effect in (proposal.memory, proposal.speed) if effect is not None]
