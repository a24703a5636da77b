"""A lower power limit: a little slower, much less energy."""

from __future__ import annotations

from bigmodel_lab.i18n import text
from bigmodel_lab.tips.base import Code, Evidence, Proposal, SpeedEffect, Tip
from bigmodel_lab.units import format_value

_NEAR_SHARE = 0.9
"""A card that draws less is not held back by its limit (our choice)."""
_BUSY_PERCENT = 70.0
"""Below it a card is not busy: the rule ``LowGPUUtilization`` of SageMaker's profiler."""
_LOWER_SHARE = 0.8
"""The last fifth of the power buys little speed on most cards; which share is best must be measured (our choice; You et
al. 2023, Zeus, NSDI, save 15 to 76 % of energy by limit and batch size together)."""


def propose(evidence: Evidence) -> Proposal | None:
    """Where a busy card draws nearly all that it may. Only an administrator can change it."""
    drawn, limit, steps = evidence.power_watts, evidence.power_limit_watts, evidence.steps
    if not evidence.on_cuda or evidence.simulated:  # another card's power may be known all the same
        return None
    if drawn is None or limit is None or steps is None or drawn < _NEAR_SHARE * limit:
        return None
    if steps.gpu_utilization_percent is None or steps.gpu_utilization_percent < _BUSY_PERCENT:
        return None
    lower = round(_LOWER_SHARE * limit)
    joules = drawn * steps.seconds
    return Proposal(
        tip="power_limit",
        goal="energy",
        title=text("tip.power_limit.title", "Power limit {before:.0f} → {after} W", before=limit, after=lower),
        why=text(
            "tip.power_limit.why",
            "The card draws {drawn} of {limit}: {joules} a step of the whole board.",
            drawn=format_value(drawn, "watts"),
            limit=format_value(limit, "watts"),
            joules=format_value(joules, "joules"),
        ),
        speed=SpeedEffect(1.0, 1 / _LOWER_SHARE, text("tip.power_limit.source", "at worst speed follows the power")),
        costs=(text("tip.power_limit.cost", "Needs an administrator, and counts for everybody on this card."),),
        code=(Code("shell", _command(lower), in_mid_run=True),),
        weight=0.02,
    )


def _command(watts: int) -> str:
    """Without ``-i`` it would limit every card of the machine; PyTorch's numbers of cards need not be the driver's."""
    which = text("tip.power_limit.which", "-i: number of the card by nvidia-smi -L")
    return f"sudo nvidia-smi -i … -pl {watts}  # {which}"


TIP = Tip(propose)
