"""Mixed precision in float16, for cards between Volta and Ampere."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest
import torch

from bigmodel_lab.tips._advisor import advise
from bigmodel_lab.tips.base import Evidence
from bigmodel_lab.tips.fp16 import propose
from bigmodel_lab.training import TrainConfig
from tests.tips.by_hand import training_peak
from tests.tips.evidences import A100, T4, Convolutions, healthy, predicted


def on(capability: tuple[int, int], evidence: Evidence | None = None, **settings: str) -> Evidence:
    """A run in fp32 on a card of this kind."""
    base = evidence or healthy(config=TrainConfig.from_settings(settings))
    assert base.card is not None
    return replace(base, card=replace(base.card, capability=capability), memory=None)


@pytest.mark.parametrize("capability", [(7, 0), (7, 5)])
def test_on_volta_and_turing(capability: tuple[int, int]) -> None:
    """They have tensor cores for fp16 and none for bf16."""
    assert propose(on(capability)) is not None


@pytest.mark.parametrize("capability", [(6, 0), (6, 1), (8, 0), (9, 0)])
def test_silent_elsewhere(capability: tuple[int, int]) -> None:
    """Pascal has no tensor cores, and from Ampere on bf16 needs no scaler."""
    assert propose(on(capability)) is None


def test_tf32_on_a_t4_is_fp32() -> None:
    """The card has no TF32, so there is as much to gain."""
    assert propose(on((7, 5), precision="tf32")) is not None


def test_a_t4_never_gets_bf16() -> None:
    """Of all tips, one names a number format."""
    evidence = healthy(config=TrainConfig(), card=T4, memory=None)
    formats = [one.change["precision"] for one in advise(evidence) if "precision" in one.change]

    assert formats == ["fp16"]


def test_an_a100_never_gets_fp16() -> None:
    """Nor the other way round."""
    formats = {one.change.get("precision") for one in advise(healthy(config=TrainConfig(), card=A100))}

    assert "bf16" in formats
    assert "fp16" not in formats


def test_the_code_scales_the_gradients() -> None:
    """Small ones would be 0 otherwise."""
    (shown,) = [one for one in advise(on((7, 5))) if one.tip == "fp16"]
    plain = next(one.text for one in shown.code if one.framework == "plain")

    assert 'torch.amp.GradScaler("cuda")' in plain
    assert "scaler.step(optimizer); scaler.update()" in plain


def test_the_step_by_hand_is_in_the_range() -> None:
    """Under PyTorch's own autocast, on a simulated card; the scaler is two numbers."""
    proposal = propose(on((7, 5), predicted(free_mib=60)))
    peak = training_peak(Convolutions(), around=partial(torch.autocast, "cpu", dtype=torch.float16))

    assert proposal is not None
    assert proposal.memory is not None
    assert proposal.memory.least_bytes <= peak <= proposal.memory.most_bytes
