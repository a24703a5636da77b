"""CUDA graphs: a step is launched once as a whole."""

from __future__ import annotations

from bigmodel_lab.i18n import text
from bigmodel_lab.tips._words import launch_bound, sentences
from bigmodel_lab.tips.base import Code, Evidence, Proposal, SpeedEffect, Tip
from bigmodel_lab.tips.compile import can_compile
from bigmodel_lab.units import format_seconds

_SHORT_SECONDS = 0.005
"""Launches of a few microseconds each make up much of a step only where it is short (our choice)."""


def propose(evidence: Evidence) -> Proposal | None:
    """Where short steps wait for their launches."""
    why, steps = launch_bound(evidence), evidence.steps
    if why is None or steps is None or steps.seconds >= _SHORT_SECONDS or not can_compile(evidence):
        return None
    took = text("tip.cuda_graphs.why", "A step takes {seconds}.", seconds=format_seconds(steps.seconds))
    return Proposal(
        tip="cuda_graphs",
        goal="speed",
        title=text("tip.cuda_graphs.title", "CUDA graphs"),
        why=sentences(why, took),
        speed=SpeedEffect(
            0.33, 1.0, text("tip.cuda_graphs.source", "often 1.2 to 3 times as fast; NVIDIA's guide to CUDA graphs")
        ),
        costs=(
            text(
                "tip.cuda_graphs.cost",
                "Shapes must stay the same and nothing may be read back in a step; what Python decides is frozen, "
                "wrongly without a word where it would change. Memory: the graph keeps a pool of its own.",
            ),
        ),
        changes_arithmetic=True,
        needs_restart=True,
        code=(
            Code("plain", 'model = torch.compile(model, mode="reduce-overhead")', in_mid_run=False),
            Code(
                "transformers",
                'TrainingArguments(torch_compile=True, torch_compile_mode="reduce-overhead")',
                in_mid_run=False,
            ),
            Code(
                "lightning",
                'model = torch.compile(model, mode="reduce-overhead")  # before Trainer.fit',
                in_mid_run=False,
            ),
            Code(
                "accelerate",
                'Accelerator(dynamo_plugin=TorchDynamoPlugin(backend="inductor", mode="reduce-overhead"))',
                in_mid_run=False,
            ),
        ),
        weight=0.2,
    )


TIP = Tip(propose)
