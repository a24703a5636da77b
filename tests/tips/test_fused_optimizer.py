"""Where one kernel for the whole update is offered."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bigmodel_lab.tips.fused_optimizer import propose
from bigmodel_lab.training import TrainConfig
from tests.tips.evidences import healthy

ADAMW = TrainConfig(optimizer="adamw", precision="bf16")


@pytest.mark.parametrize(
    ("optimizer", "speaks"), [("sgd", True), ("adagrad", True), ("rmsprop", False), ("lbfgs", False)]
)
def test_only_optimizers_that_have_such_a_kernel(optimizer: str, speaks: bool) -> None:
    """Of torch.optim these four: SGD, Adam, AdamW, Adagrad."""
    assert (propose(healthy(config=replace(ADAMW, optimizer=optimizer))) is not None) is speaks


@pytest.mark.parametrize("options", [{"fused": True}, {"foreach": False}, {"differentiable": True}])
def test_silent_where_it_was_chosen_or_cannot_be(options: dict[str, Any]) -> None:
    """PyTorch refuses fused together with differentiable."""
    assert propose(healthy(config=replace(ADAMW, optimizer_options=options))) is None


def test_silent_where_nothing_is_trained() -> None:
    """A model that only answers makes no updates."""
    assert propose(healthy(config=ADAMW, mode="inference")) is None


@pytest.mark.parametrize(("precision", "says"), [("fp16", True), ("bf16", False)])
def test_the_scaler_is_named_where_there_is_one(precision: str, says: bool) -> None:
    """bf16 needs none."""
    proposal = propose(healthy(config=replace(ADAMW, precision=precision)))

    assert proposal is not None
    assert any("scaler" in cost for cost in proposal.costs) is says


def test_promises_little() -> None:
    """A few per cent, and the words name where they were measured."""
    proposal = propose(healthy(config=ADAMW))

    assert proposal is not None
    assert proposal.speed is not None
    assert proposal.speed.least >= 0.96
    assert "2.64 %" in proposal.speed.source
