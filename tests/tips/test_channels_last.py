"""Where another layout of images is offered."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bigmodel_lab.tips.base import ModelFacts
from bigmodel_lab.tips.channels_last import propose
from bigmodel_lab.training import TrainConfig
from tests.tips.evidences import A100, healthy

BF16 = TrainConfig(precision="bf16")


@pytest.mark.parametrize(("convolutions", "speaks"), [(0, False), (1, True)])
def test_one_convolution_is_enough(convolutions: int, speaks: bool) -> None:
    """A model without any has no images to lay out."""
    model = ModelFacts(1000, 1000, convolutions=convolutions)

    assert (propose(healthy(config=BF16, model=model)) is not None) is speaks


@pytest.mark.parametrize(("precision", "speaks"), [("fp32", False), ("tf32", False), ("bf16", True), ("fp16", True)])
def test_it_is_for_sixteen_bits(precision: str, speaks: bool) -> None:
    """What the published gain was measured in."""
    config = replace(BF16, precision=precision)

    assert (propose(healthy(config=config)) is not None) is speaks


@pytest.mark.parametrize(("capability", "speaks"), [((6, 1), False), ((7, 0), True)])
def test_volta_is_the_first_with_tensor_cores(capability: tuple[int, int], speaks: bool) -> None:
    """Pascal has none."""
    evidence = healthy(config=BF16, card=replace(A100, capability=capability))

    assert (propose(evidence) is not None) is speaks


def test_counts_the_convolutions() -> None:
    """With the precision that they run in."""
    proposal = propose(healthy(config=BF16))

    assert proposal is not None
    assert "convolutions (50) in bf16" in proposal.why
