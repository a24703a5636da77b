"""``torch.compile``: fewer, larger kernels, for minutes of compilation."""

from __future__ import annotations

from math import ceil

from bigmodel_lab.i18n import text
from bigmodel_lab.tips._words import launch_bound
from bigmodel_lab.tips.base import Evidence, Proposal, SpeedEffect, Tip
from bigmodel_lab.units import format_seconds

_CAPABILITY = (7, 0)
"""Triton compiles for Volta and later."""
_COMPILE_SECONDS = 60.0
"""Assumed for a break-even: between seconds for small networks and several minutes (airbench: "several minutes",
modded-nanogpt: about 7 min; their READMEs)."""
_FASTER = 1.41
"""Training, geometric mean over more than 180 models on an A100: Ansel et al. 2024, PyTorch 2 (ASPLOS)."""
_LEAST = 0.54
"""GPT-2 in nanoGPT: 250 → 135 ms an iteration, its README."""


def propose(evidence: Evidence) -> Proposal | None:
    """Where the card waits for Python, and enough steps are left to earn the compilation back."""
    why = launch_bound(evidence)
    model, steps = evidence.model, evidence.steps
    if why is None or steps is None or model is None or model.is_compiled or evidence.config.compile:
        return None
    if not can_compile(evidence):
        return None
    break_even = ceil(_COMPILE_SECONDS / (steps.seconds * (1 - 1 / _FASTER)))
    if evidence.steps_left is not None and evidence.steps_left < break_even:
        return None
    return Proposal(
        tip="compile",
        goal="speed",
        title=text("tip.compile.title", "Compile the model (torch.compile)"),
        why=text(
            "tip.compile.why",
            "{why} At {seconds} a step, a compilation of {compile} is earned back after {steps:,} steps.",
            why=why,
            seconds=format_seconds(steps.seconds),
            compile=format_seconds(_COMPILE_SECONDS),
            steps=break_even,
        ),
        change={"compile": True},
        speed=SpeedEffect(
            _LEAST,
            1.0,
            text(
                "tip.compile.source",
                "A100, training 1.41 times as fast over 180 models, Ansel et al. 2024; nanoGPT 1.85 times, its README",
            ),
        ),
        costs=(
            text(
                "tip.compile.cost_time",
                "Time: the first step takes as long as the compilation, and again at new shapes.",
            ),
            text("tip.compile.cost_bits", "The last bits may differ."),
        ),
        changes_arithmetic=True,
        weight=0.29,
    )


def can_compile(evidence: Evidence) -> bool:
    """The card and the installed packages have what ``torch.compile`` needs."""
    return evidence.capability_from(_CAPABILITY) and "triton" in evidence.platform.packages


TIP = Tip(propose)
