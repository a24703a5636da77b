"""Evaluation that keeps what only a backward pass needs."""

from __future__ import annotations

import pytest
import torch

from bigmodel_lab._virtual_gpu import VirtualGpu
from bigmodel_lab.tips.inference_mode import propose
from tests.tips.by_hand import answering_peak
from tests.tips.evidences import Convolutions, healthy


@pytest.mark.parametrize("keeps", [None, False])
def test_silent_where_nothing_is_known_to_be_kept(keeps: bool | None) -> None:
    """Unknown is not yes."""
    assert propose(healthy(keeps_graph=keeps, mode="inference", framework="plain")) is None


def test_silent_in_training() -> None:
    """There it is needed."""
    assert propose(healthy(keeps_graph=True, framework="plain")) is None


def test_the_lines_keep_less() -> None:
    """As they stand, against the same pass without them, on a simulated card."""
    proposal = propose(healthy(keeps_graph=True, mode="inference", framework="plain"))
    assert proposal is not None
    with VirtualGpu("2GiB") as gpu:
        model = Convolutions()
        names = {"torch": torch, "model": model, "batch": torch.rand(64, 1, 28, 28)}
        exec(proposal.code[0].text, names)
    with VirtualGpu("2GiB") as before:
        model = Convolutions()
        kept = model(torch.rand(64, 1, 28, 28))

    assert names["output"].requires_grad is False  # type: ignore[attr-defined]
    assert kept.requires_grad
    assert answering_peak(Convolutions()) < before.peak_allocated_bytes
    assert gpu.peak_allocated_bytes < before.peak_allocated_bytes
