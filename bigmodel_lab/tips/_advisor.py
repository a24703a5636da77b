"""Asks every tip, and puts what they say in order."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from bigmodel_lab.errors import BigModelLabError
from bigmodel_lab.tips import TIPS
from bigmodel_lab.tips._code import code_for
from bigmodel_lab.tips.base import Evidence, Proposal


def advise(evidence: Evidence, *, without: Iterable[str] = ()) -> tuple[Proposal, ...]:
    """What is worth trying, the best first.

    Where memory is short, what makes the step fit comes first; elsewhere what saves the most time.

    Args:
        evidence: What is known.
        without: Names of tips that shall not be asked, e.g. those that were undone.
    """
    left_out = set(without)
    proposals = [
        proposal
        for name, tip in TIPS.members().items()
        if name not in left_out and (proposal := tip.propose(evidence)) is not None
        if not proposal.change.keys() & evidence.unknown
    ]
    ordered = sorted(proposals, key=lambda one: _place(one, evidence))
    return tuple(replace(one, code=code_for(one, evidence)) for one in ordered)


def _place(proposal: Proposal, evidence: Evidence) -> tuple[bool, bool, bool, float]:
    """The smaller, the further up."""
    short = evidence.memory_pressure is not None
    return (
        short and proposal.goal != "memory",
        not proposal.can_apply,
        short and not _helps(proposal, evidence),
        -proposal.weight,
    )


def _helps(proposal: Proposal, evidence: Evidence) -> bool:
    """The step fits with it, as far as that can be said."""
    try:
        return evidence.would_fit(**proposal.change) is not False
    except BigModelLabError:  # the changed step cannot be followed
        return True
