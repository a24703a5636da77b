"""rms_norm on CUDA: one output, one number a row, nothing else."""

from __future__ import annotations

import torch
from torch import nn

from tests.trace.reading import after_forward, alive, made_by, total, trained

X = torch.empty(32, 64)
"""8192 bytes."""


def normed(x: torch.Tensor = X) -> nn.Sequential:
    """A linear layer, so that the norm's input needs a gradient, and the norm."""
    return nn.Sequential(nn.Linear(64, 64, bias=False), nn.RMSNorm(64))


def test_it_keeps_one_number_a_row():
    """Between forward and backward pass live its input, its output's place is taken by the sum, and 32 row numbers."""
    trace = trained(normed(), X, total)
    kept = [a for a in alive(trace, after_forward(trace)) if a.module == "1"]
    assert 32 * 4 in [a.bytes for a in kept]


def test_nothing_is_taken_apart():
    """No square, no mean, no reciprocal root is written out, as the CPU's composition would."""
    trace = trained(normed(), X, total)
    assert not made_by(trace, "aten.pow")
    assert not made_by(trace, "aten.rsqrt")


def test_under_autocast_the_output_is_32_bits_wide():
    """rms_norm is in CUDA's 32-bit list: a 16-bit input is widened first."""

    def forward(model: nn.Module, x: torch.Tensor) -> torch.Tensor:
        with torch.autocast("cuda", dtype=torch.bfloat16):
            return model(x).sum()

    trace = trained(normed(), X, forward)
    outputs = [a for a in trace.allocations if a.module == "1" and a.shape == (32, 64) and a.maker == "aten.empty_like"]
    assert {a.dtype for a in outputs} == {"float32"}


def test_the_weight_gets_a_gradient():
    """The backward pass makes one gradient of the norm's weight: 64 numbers."""
    trace = trained(normed(), X, total)
    assert [a.bytes for a in trace.allocations if a.category == "gradient" and a.module == "1"] == [256, 256]


def test_a_frozen_weight_gets_none():
    """A weight that does not learn has no gradient."""
    model = normed()
    model[1].weight.requires_grad = False
    trace = trained(model, X, total)
    assert not [a for a in trace.allocations if a.category == "gradient" and a.module == "1"]
