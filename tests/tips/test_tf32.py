"""Where TF32 is offered, and what is said of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bigmodel_lab.tips.tf32 import propose
from bigmodel_lab.training import TrainConfig
from tests.tips.evidences import A100, T4, healthy


@pytest.mark.parametrize("precision", ["tf32", "bf16", "fp16"])
def test_silent_where_the_run_uses_tensor_cores_already(precision: str) -> None:
    """There is nothing left to switch on."""
    assert propose(healthy(config=replace(TrainConfig(), precision=precision))) is None


@pytest.mark.parametrize(("capability", "speaks"), [((7, 5), False), ((8, 0), True)])
def test_ampere_is_the_first(capability: tuple[int, int], speaks: bool) -> None:
    """Turing has tensor cores, but none for TF32."""
    card = replace(A100, capability=capability)

    assert (propose(healthy(config=TrainConfig(), card=card)) is not None) is speaks


def test_silent_on_a_t4() -> None:
    """A card of the table below Ampere."""
    assert propose(healthy(config=TrainConfig(), card=T4, memory=None)) is None


def test_names_the_card_and_what_has_it_already() -> None:
    """Convolutions compute in TF32 unless somebody forbids it."""
    proposal = propose(healthy(config=TrainConfig()))

    assert proposal is not None
    assert A100.name in proposal.why
    assert "cuDNN's default" in proposal.why


def test_auto_may_not_switch_it_on() -> None:
    """It changes the numbers."""
    proposal = propose(healthy(config=TrainConfig()))

    assert proposal is not None
    assert proposal.changes_arithmetic
    assert not proposal.safe
