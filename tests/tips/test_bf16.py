"""Mixed precision in bfloat16: on which cards, and what it is for."""

from __future__ import annotations

from functools import partial

import pytest
import torch

from bigmodel_lab.memory.cards import card
from bigmodel_lab.tips.bf16 import propose
from bigmodel_lab.training import TrainConfig
from tests.tips.by_hand import training_peak
from tests.tips.evidences import Convolutions, Layers, healthy, predicted


@pytest.mark.parametrize("name", ["T4", "V100"])
def test_silent_on_cards_that_only_emulate_it(name: str) -> None:
    """Before Ampere."""
    assert propose(healthy(config=TrainConfig(), card=card(name))) is None


@pytest.mark.parametrize("precision", ["fp32", "tf32"])
def test_from_both_full_formats(precision: str) -> None:
    """On an A100."""
    config = TrainConfig.from_settings({"precision": precision})

    assert propose(healthy(config=config)) is not None


def test_silent_in_fp16() -> None:
    """It is mixed already."""
    assert propose(healthy(config=TrainConfig(precision="fp16"))) is None


def test_the_step_by_hand_is_in_the_range() -> None:
    """Under PyTorch's own autocast, on a simulated card."""
    proposal = propose(predicted(free_mib=60))
    peak = training_peak(Convolutions(), around=partial(torch.autocast, "cpu", dtype=torch.bfloat16))

    assert proposal is not None
    assert proposal.memory is not None
    assert proposal.memory.least_bytes <= peak <= proposal.memory.most_bytes


def test_for_memory_where_it_saves_some() -> None:
    """Activations fill this card."""
    proposal = propose(predicted(free_mib=60))

    assert proposal is not None
    assert proposal.goal == "memory"


def test_not_for_memory_where_it_saves_none() -> None:
    """Weights and the optimizer fill this one, and they stay in fp32."""
    evidence = predicted(Layers, free_mib=200)
    proposal = propose(evidence)

    assert proposal is not None
    assert evidence.memory_pressure is not None
    assert proposal.goal == "speed"
    assert evidence.memory_pressure not in proposal.why
