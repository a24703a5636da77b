"""Optimizer states in 8 bits: when, how much, and in which words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from bigmodel_lab.tips.base import Evidence, ModelFacts
from bigmodel_lab.tips.eight_bit_optimizer import propose
from tests.tips.by_hand import training_peak
from tests.tips.evidences import PLATFORM, Convolutions, Layers, predicted, with_config

FULL = predicted(Layers, free_mib=250)


class ByHand(torch.optim.Optimizer):
    """Two states of a byte a number, with a scale in fp32 for every 256; small parameters keep theirs in fp32."""

    def __init__(self, parameters: list[nn.Parameter]) -> None:
        super().__init__(parameters, {})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        """Makes the states."""
        del closure
        for parameter in self.param_groups[0]["params"]:
            if parameter not in self.state:
                count, small = parameter.numel(), parameter.numel() >= 4096
                dtype = torch.uint8 if small else torch.float32
                scales = -(-count // 256) if small else 0
                self.state[parameter] = {
                    name: (torch.zeros(count, dtype=dtype), torch.zeros(scales)) for name in ("first", "second")
                }


def code(evidence: Evidence) -> dict[str, str]:
    """Lines to copy, by framework."""
    proposal = propose(evidence)
    assert proposal is not None
    return {one.framework: one.text for one in proposal.code}


def having(*packages: str) -> Evidence:
    """These are installed."""
    return replace(FULL, platform=replace(PLATFORM, packages=frozenset(packages)))


def test_the_step_by_hand_is_in_the_range() -> None:
    """States of bytes, on a simulated card."""
    proposal = propose(FULL)
    peak = training_peak(Layers(), optimizer=ByHand)

    assert proposal is not None
    assert proposal.memory is not None
    assert proposal.memory.least_bytes <= peak <= proposal.memory.most_bytes


def test_options_of_torch_do_not_disturb_the_prediction() -> None:
    """``fused`` has no meaning there."""
    plain, fused = (
        propose(with_config(FULL, optimizer_options=options)) for options in ({}, {"fused": True, "betas": (0.9, 0.95)})
    )

    assert plain is not None
    assert fused is not None
    assert plain.memory == fused.memory


def test_silent_where_activations_fill_the_card() -> None:
    """The states are not what is large."""
    assert propose(predicted(Convolutions, free_mib=60)) is None


def test_silent_for_a_small_model() -> None:
    """Its states are small whatever their share is."""
    assert propose(replace(FULL, model=ModelFacts(9_000_000, 9_000_000))) is None


def test_silent_for_other_optimizers() -> None:
    """There is none in 8 bits that computes the same."""
    assert propose(with_config(FULL, optimizer="adamax")) is None


def test_adam_stays_adam() -> None:
    """AdamW would decay its weights by default."""
    assert "optim import Adam8bit" in code(FULL)["plain"]


def test_adamw_stays_adamw() -> None:
    """In both libraries."""
    assert "AdamW8bit(" in code(with_config(FULL, optimizer="adamw"))["plain"]


def test_its_options_stay() -> None:
    """Those that change what is computed, not how."""
    options = {"betas": (0.9, 0.95), "weight_decay": 0.1, "fused": True}
    lines = code(with_config(FULL, optimizer_options=options, learning_rate=0.01))["plain"]

    assert "lr=0.01, betas=(0.9, 0.95), weight_decay=0.1)" in lines


def test_what_is_installed_is_used() -> None:
    """Without a line that installs."""
    assert code(having("bitsandbytes"))["plain"].startswith("import bitsandbytes as bnb")
    assert code(having("torchao"))["plain"].startswith("from torchao.optim")


def test_what_is_missing_is_named() -> None:
    """With the line that installs it."""
    assert code(having())["plain"].startswith("# pip install torchao")


def test_is_a_new_run() -> None:
    """The states have another format."""
    proposal = propose(FULL)

    assert proposal is not None
    assert proposal.needs_restart
