"""For inference and generation: fewer samples at once."""

from __future__ import annotations

from bigmodel_lab.i18n import text
from bigmodel_lab.tips import _batch
from bigmodel_lab.tips.base import Code, Evidence, Proposal, Tip


def propose(evidence: Evidence) -> Proposal | None:
    """Where answering runs short of memory: the largest batch that fits."""
    short, now = evidence.memory_pressure, evidence.config.micro_batch_size
    if short is None or evidence.mode == "train":
        return None
    size = _batch.largest(evidence)
    if size is None or not 0 < size < now:
        return None
    return Proposal(
        tip="smaller_generation_batch",
        goal="memory",
        title=text("tip.generation_batch.title", "Samples at once {before} → {after}", before=now, after=size),
        why=text(
            "tip.generation_batch.why", "{short} {size} samples at once are predicted to fit.", short=short, size=size
        ),
        memory=evidence.memory_after(micro_batch_size=size),
        needs_restart=True,
        code=(
            Code("plain", f"for part in batch.split({size}):\n    answers.append(model(part))", in_mid_run=True),
            Code(
                "transformers",
                f"for part in torch.split(input_ids, {size}):\n    answers.append(model.generate(part))",
                in_mid_run=True,
            ),
        ),
        weight=0.6,
    )


TIP = Tip(propose)
