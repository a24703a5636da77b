"""What is computed in, against what was asked for, on each device."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from bigmodel_lab.training.precision import (
    Arithmetic,
    AutocastArithmetic,
    Precision,
    ScaledArithmetic,
    arithmetic_of,
    matmul_precision,
    resolve_precision,
)

AMPERE, TURING = (8, 0), (7, 5)


@pytest.mark.parametrize(
    ("requested", "device", "capability", "expected"),
    [
        ("fp32", "cuda:0", AMPERE, "fp32"),
        ("tf32", "cuda:0", AMPERE, "tf32"),
        ("bf16", "cuda:0", AMPERE, "bf16"),
        ("fp16", "cuda:0", AMPERE, "fp16"),
        ("fp16", "cuda:0", TURING, "fp16"),
        ("bf16", "cuda:0", TURING, "fp16"),
        ("tf32", "cuda:0", TURING, "fp32"),
        ("fp32", "cpu", None, "fp32"),
        ("bf16", "cpu", None, "fp32"),
        ("fp16", "mps", None, "fp32"),
        ("tf32", "mps", None, "fp32"),
    ],
)
def test_precision_of_each_device(requested, device, capability, expected):
    """CUDA computes as asked where the card can; CPU and MPS compute in fp32."""
    assert resolve_precision(requested, device, capability).name == expected


@pytest.mark.parametrize("device", ["cpu", "mps"])
def test_reason_names_the_device(device):
    """A person who asked for fp16 reads why it is fp32."""
    reason = resolve_precision("fp16", device).reason

    assert reason == f"fp16 was asked for, but mixed precision runs on CUDA only; {device} computes in fp32."


def test_reason_names_the_cards_capability():
    """An older card's own number stands beside the one that is needed."""
    reason = resolve_precision("bf16", "cuda", TURING).reason

    assert "8.0" in reason
    assert "7.5; it computes in fp16 with a gradient scaler" in reason


@pytest.mark.parametrize(("name", "kind"), [("fp32", Arithmetic), ("tf32", Arithmetic), ("bf16", AutocastArithmetic)])
def test_arithmetic_of_each_precision(name, kind):
    """Each number format has its arithmetic."""
    assert type(arithmetic_of(Precision(name, name, "as asked"), "cpu")) is kind


def test_tf32_is_switched_on_only_inside():
    """TF32 for matrix products holds during the run; the person's setting returns."""
    before = torch.get_float32_matmul_precision()

    with matmul_precision(resolve_precision("tf32", "cuda", AMPERE)):
        inside = torch.get_float32_matmul_precision()

    assert (inside, torch.get_float32_matmul_precision()) == ("high", before)


def test_fp32_leaves_the_setting_alone():
    """Without TF32 nothing global is touched."""
    before = torch.get_float32_matmul_precision()

    with matmul_precision(resolve_precision("fp32", "cpu")):
        assert torch.get_float32_matmul_precision() == before


def test_scaler_skips_a_step_whose_gradients_overflow():
    """With fp16 arithmetic an infinite gradient leaves the weights alone and lowers the scale."""
    arithmetic = ScaledArithmetic("cpu", torch.bfloat16)
    model = nn.Linear(2, 1)
    before, scale = model.weight.detach().clone(), arithmetic.scaler.get_scale()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    arithmetic.backward((model(torch.ones(1, 2)) * torch.inf).sum())
    arithmetic.update(optimizer)

    assert torch.equal(model.weight, before)
    assert arithmetic.scaler.get_scale() == scale / 2


def test_scaler_hides_its_scale_from_the_weights():
    """Scaling the loss and unscaling the gradients gives the plain step."""
    arithmetic = ScaledArithmetic("cpu", torch.bfloat16)
    model = nn.Linear(2, 1, bias=False)
    before = model.weight.detach().clone()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)

    arithmetic.backward(model(torch.ones(1, 2)).sum())
    arithmetic.update(optimizer)

    assert torch.allclose(model.weight, before - 0.5)
