"""More processes that load."""

from __future__ import annotations

from bigmodel_lab.i18n import text
from bigmodel_lab.tips._words import WAITS_HIGH_SHARE, waits_for_data
from bigmodel_lab.tips.base import Code, Evidence, Proposal, SpeedEffect, Tip

_SLOWER = 1.1
"""At worst: workers take cores from the training. Nobody has published a figure (our choice)."""


def propose(evidence: Evidence) -> Proposal | None:
    """Where steps wait for a loader that has fewer workers than there are other cores."""
    wait, workers = waits_for_data(evidence), evidence.platform.processors - 1
    if wait is None or workers < 1 or wait.loader.workers >= workers:
        return None
    high = wait.share >= WAITS_HIGH_SHARE
    return Proposal(
        tip="loader_workers",
        goal="speed",
        title=text(
            "tip.workers.title", "Workers of the loader {before} → {after}", before=wait.loader.workers, after=workers
        ),
        why=text(
            "tip.workers.why",
            "{why} {grade} The loader has {count} workers, and this process may use {cores} cores.",
            why=wait.why,
            grade=text("tip.workers.high", "That is much.")
            if high
            else text("tip.workers.moderate", "That is moderate."),
            count=wait.loader.workers,
            cores=evidence.platform.processors,
        ),
        speed=SpeedEffect(
            1 - wait.share,
            _SLOWER,
            text(
                "tip.workers.source",
                "at best the waiting that was measured is gone; at worst, not published, workers are in the way",
            ),
        ),
        costs=(
            text(
                "tip.workers.cost",
                "Each worker is a process of its own: it takes time to start, and memory; with two cores it can even be "
                "slower. Random changes of samples draw other numbers.",
            ),
        ),
        changes_arithmetic=True,
        code=_code(workers),
        weight=min(0.8, wait.share),
    )


def _code(workers: int) -> tuple[Code, ...]:
    return (
        Code("plain", f"DataLoader(…, num_workers={workers}, persistent_workers=True)", in_mid_run=False),
        Code(
            "transformers",
            f"TrainingArguments(dataloader_num_workers={workers}, dataloader_persistent_workers=True)",
            in_mid_run=False,
        ),
        Code("lightning", f"DataLoader(…, num_workers={workers}, persistent_workers=True)", in_mid_run=False),
    )


TIP = Tip(propose)
