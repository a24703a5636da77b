"""The rebuilt decoder computes what it is said to compute, so that its memory is that of a real program."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from benchmarks.measured.decoder import (
    MEDIUM,
    AdamWByHand,
    Decoder,
    Norm,
    Rotary,
    Sizes,
    attend,
    log_softmax,
    negative_log_likelihood,
    softmax,
)

SMALL = Sizes(width=16, inner=32, layers=2, heads=2, context=8)


def small(sizes: Sizes = SMALL) -> Decoder:
    """With numbers in its weights."""
    torch.manual_seed(0)
    model = Decoder(sizes)
    for weight in model.parameters():
        torch.nn.init.normal_(weight, std=0.1)
    return model


def test_the_softmax_is_torchs():
    """By its definition."""
    x = torch.randn(3, 5)

    assert torch.allclose(softmax(x), x.softmax(-1))
    assert torch.allclose(log_softmax(x), x.log_softmax(-1), atol=1e-6)


def test_the_loss_is_cross_entropy():
    """Mean over all tokens."""
    scores, targets = torch.randn(2, 3, 7), torch.randint(0, 7, (2, 3))
    expected = torch.nn.functional.cross_entropy(scores.flatten(0, 1), targets.flatten())

    assert torch.allclose(negative_log_likelihood(scores, targets), expected, atol=1e-6)


def test_attention_is_torchs():
    """Causal, scaled by the root of the features."""
    q, k, v = (torch.randn(1, 2, 4, 8) for _ in range(3))
    mask = torch.ones(4, 4, dtype=torch.bool).tril()
    expected = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)

    assert torch.allclose(attend(q, k, v, mask), expected, atol=1e-5)


def test_the_norm_is_torchs():
    """RMSNorm with its weight."""
    norm = Norm(16)
    torch.nn.init.normal_(norm.weight)
    x = torch.randn(2, 3, 16)

    assert torch.allclose(norm(x), torch.nn.functional.rms_norm(x, (16,), norm.weight, 1e-5), atol=1e-5)


def test_rotation_keeps_lengths_and_the_first_place():
    """Angles are 0 there."""
    x = torch.randn(1, 2, 8, 8)
    turned = Rotary(SMALL)(x, None)

    assert torch.allclose(turned.norm(dim=-1), x.norm(dim=-1), atol=1e-5)
    assert torch.allclose(turned[:, :, 0], x[:, :, 0], atol=1e-6)


def test_the_angle_grows_by_the_place():
    """The first pair of features turns by one radian a place."""
    x = torch.zeros(1, 1, 8, 8)
    x[..., 0] = 1
    turned = Rotary(SMALL)(x, None)

    assert float(turned[0, 0, 3, 0]) == pytest.approx(math.cos(3), abs=1e-5)
    assert float(turned[0, 0, 3, 1]) == pytest.approx(math.sin(3), abs=1e-5)


def test_looked_up_angles_are_the_sliced_ones():
    """Only their memory differs."""
    tokens = torch.randint(0, 100, (1, 8))
    looked_up = small(replace(SMALL, looked_up=True, keeps_embedding=True))

    assert torch.equal(small()(tokens), looked_up(tokens))


def test_no_token_sees_the_next():
    """Changing the last one changes no other scores."""
    model, tokens = small(), torch.randint(0, 100, (1, 8))
    changed = tokens.clone()
    changed[0, -1] = 101

    assert torch.allclose(model(tokens)[:, :-1], model(changed)[:, :-1], atol=1e-6)


def test_the_optimizer_is_adamw_without_its_first_steps_correction():
    """One step by hand: mean and square begin at 0."""
    weight = torch.nn.Parameter(torch.tensor([2.0]))
    weight.grad = torch.tensor([3.0])
    AdamWByHand([weight], rate=0.1, decay=0.5).step()

    assert weight.item() == pytest.approx(2 - 0.1 * 0.5 * 2 - 0.1 * 0.3 / (math.sqrt(0.05 * 9) + 1e-8), rel=1e-5)


def test_the_recorded_model_has_as_many_weights_as_its_sizes_say():
    """Two tables, and seven matrices and two norms for each layer."""
    with torch.device("meta"):
        weights = sum(weight.numel() for weight in Decoder(MEDIUM).parameters())

    assert weights == 2 * 10_000 * 1024 + 24 * (4 * 1024**2 + 3 * 1024 * 4096 + 2 * 1024) + 1024
