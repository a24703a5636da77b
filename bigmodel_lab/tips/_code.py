"""A change in the words of the frameworks that people use."""

from __future__ import annotations

from bigmodel_lab.tips.base import Code, Evidence, Proposal


def code_for(proposal: Proposal, evidence: Evidence) -> tuple[Code, ...]:
    """The proposal as lines to copy, for each framework that can do it."""
    del evidence
    arguments = ", ".join(f"{name}={value!r}" for name, value in proposal.change.items())
    return (Code("bigmodel_lab", f"lab.fit(…, {arguments})", in_mid_run=proposal.can_apply),) if arguments else ()
