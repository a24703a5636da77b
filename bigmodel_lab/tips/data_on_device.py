"""The whole data set on the card, batches taken by index. ``fit`` does it always."""

from __future__ import annotations

from bigmodel_lab.i18n import text
from bigmodel_lab.tips._words import waits_for_data
from bigmodel_lab.tips.base import Code, Evidence, Proposal, Tip
from bigmodel_lab.units import format_bytes

_SMALL_SHARE = 0.1
"""Data from this share of the memory is not small (our choice; CIFAR-10 has 154 MB as uint8)."""


def propose(evidence: Evidence) -> Proposal | None:
    """Where steps wait for a small data set that a loader brings sample by sample."""
    wait, capacity = waits_for_data(evidence), evidence.capacity_bytes
    if wait is None or wait.loader.data_bytes is None or capacity is None:
        return None
    if wait.loader.data_bytes >= _SMALL_SHARE * capacity or evidence.memory_pressure:
        return None
    return Proposal(
        tip="data_on_device",
        goal="speed",
        title=text("tip.data_on_device.title", "Keep the data on the card"),
        why=text(
            "tip.data_on_device.why",
            "{why} All of it is {size}, and the card has {capacity}.",
            why=wait.why,
            size=format_bytes(wait.loader.data_bytes),
            capacity=format_bytes(capacity),
        ),
        speed=wait.gone,
        costs=(
            text(
                "tip.data_on_device.cost",
                "The order of the samples is another one, and changes of samples on the host must be written for tensors.",
            ),
        ),
        changes_arithmetic=True,
        code=(
            Code(
                "plain",
                "x, y = x.to(device), y.to(device)  # once; images as uint8\n"
                "for index in torch.randperm(len(x), device=device).split(batch_size):\n"
                "    step(x.index_select(0, index), y.index_select(0, index))",
                in_mid_run=False,
            ),
        ),
        weight=min(0.9, wait.share),
    )


TIP = Tip(propose)
