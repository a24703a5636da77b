"""What the card at hand is, asked of a stand-in for torch."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from benchmarks.gpu.card_facts import card_facts
from tests.benchmarks.gpu.standins import CountingCard


def test_the_facts_come_from_torch_and_from_two_products(monkeypatch: pytest.MonkeyPatch) -> None:
    """Total, capability and multiprocessors; each product of the stand-in leaves 256 B, so the second none besides."""
    properties = SimpleNamespace(name="card", total_memory=2**34, major=8, minor=9, multi_processor_count=60)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: properties)
    monkeypatch.setenv("PYTORCH_ALLOC_CONF", "expandable_segments:True")

    facts = card_facts(CountingCard())  # type: ignore[arg-type]

    assert (facts.name, facts.total_bytes, facts.capability, facts.multiprocessors) == ("card", 2**34, (8, 9), 60)
    assert (facts.cublas_workspace_bytes, facts.cublaslt_workspace_bytes) == (256, 0)
    assert facts.context_bytes == 0
    assert facts.settings == "expandable_segments:True"
