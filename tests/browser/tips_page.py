"""Cards of tips and the alert about memory, as the kernel sends them, for pages with the dashboard's bundle."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import Locator

from bigmodel_lab.runlog.base import ProposalRecord, Status
from bigmodel_lab.widgets import _tips
from bigmodel_lab.widgets._state import RunState
from tests.browser.renderer_page import Bench

GIB = 2**30
MEASURED = {
    "measured": ["peak memory 9.8 GiB → 5.3 GiB (measured)", "step time 31 ms → 19 ms (measured)"],
    "verdict": "Less memory and a shorter step: kept.",
    "can_undo": True,
}
"""What comes to a card when its tip was measured and kept."""
BF16 = {
    "title": "Mixed precision: bf16",
    "why": "The card has tensor cores for bf16 and the run computes in fp32. Matrix products and convolutions make 78 % of "
    "the step, and activations take 6.2 GiB of the peak of 9.8 GiB.",
    "goal": "memory",
    "predicted": [
        "peak memory 9.8 GiB → 5.4 GiB (5.1 GiB – 5.8 GiB, predicted)",
        "step time × 0.4 – 0.7 (expected: A100)",
    ],
    "costs": ["Eight bits of mantissa: losses differ from fp32 in the third digit.", "Sums in the loss stay in fp32."],
    "can_apply": True,
    "restart": False,
    "simulated": False,
    "code": [
        {"framework": "lab.fit", "text": 'lab.fit(model, precision="bf16")', "in_mid_run": True},
        {
            "framework": "Loop of your own",
            "text": 'with torch.autocast("cuda", dtype=torch.bfloat16):\n    loss = criterion(model(x), y)',
            "in_mid_run": True,
        },
        {"framework": "Hugging Face Trainer, TRL", "text": "TrainingArguments(bf16=True)", "in_mid_run": False},
    ],
}
CHECKPOINTING = {
    **BF16,
    "title": "Activation checkpointing of blocks.0 – blocks.11",
    "why": "Activations take 63 % of the peak; a second forward pass of each block frees most of them.",
    "predicted": ["peak memory 9.8 GiB → 4.1 GiB (3.9 GiB – 4.6 GiB, predicted)"],
    "simulated": True,
}
ALLOCATOR = {
    **BF16,
    "title": "PYTORCH_ALLOC_CONF=expandable_segments:True",
    "why": "22 % of the reserved memory lies idle at the peak.",
    "goal": "speed",
    "predicted": [],
    "costs": [],
    "can_apply": False,
    "restart": True,
}
FULL = {
    "step": 3,
    "phase": "backward",
    "message": "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 16.00 GiB of which 1.31 GiB is "
    "free. Of the allocated memory 13.90 GiB is allocated by PyTorch.",
    "requested_bytes": 2 * GIB,
    "allocated_bytes": 13.9 * GIB,
    "reserved_bytes": 14.6 * GIB,
    "capacity_bytes": 16 * GIB,
    "by_category": {
        "parameter": int(1.3 * GIB),
        "gradient": int(1.3 * GIB),
        "optimizer_state": int(2.6 * GIB),
        "activation": int(8.2 * GIB),
        "input": int(0.1 * GIB),
        "temporary": int(0.4 * GIB),
    },
    "waits": True,
    "action": "ask",
}


def proposal(number: int, data: dict[str, Any], state: str = "proposed", **more: Any) -> ProposalRecord:
    """A proposal of the run; keyword arguments come to its data."""
    return ProposalRecord(number, str(data["title"]), state, 0, {**data, **more})


def tell(bench: Bench, *proposals: ProposalRecord, full: dict[str, Any] | None = None) -> None:
    """Sends the cards of these proposals, and what ran out of memory, in the kernel's own words."""
    now = RunState(Status.RUNNING, 3, 100, 1, 1, 1.0, None, full)
    bench.raw({"type": "tips", "cards": _tips.cards(proposals), "held": _tips.held(now)})


def tip(bench: Bench, number: int) -> Locator:
    """The card of a proposal."""
    return bench.page.locator(f"[data-testid=bml-tip][data-id='{number}']")


def press(bench: Bench, number: int, name: str) -> Locator:
    """Clicks ``"apply"``, ``"undo"`` or ``"details"`` of a card, and gives the button."""
    button = tip(bench, number).get_by_test_id(f"bml-tip-{name}")
    button.click()
    return button
