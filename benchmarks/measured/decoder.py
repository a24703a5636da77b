"""The decoder whose allocator histories others recorded: every tensor that the histories show, in their order.

Read off the sizes and lifetimes of the recorded requests (sources in ``peaks.json``): parameters used through ``einsum``,
RMSNorm in float32, rotary positions, a softmax with its maximum taken off, SwiGLU. Nothing is fused.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

VOCABULARY = 10_000
"""Tokens that all recorded models know."""
_EPSILON = 1e-5
_BASE = 10_000.0  # of the rotary angles


@dataclass(frozen=True)
class Sizes:
    """One recorded model."""

    width: int
    """Features of a token."""
    inner: int
    """Features inside the feed-forward part."""
    layers: int
    heads: int
    context: int
    """Tokens of a sequence, as many as the table of angles has rows."""
    looked_up: bool = False
    """Angles are looked up by position, a copy for each use; False: a slice of the table, without a copy."""
    keeps_embedding: bool = False
    """The first vectors of the tokens live to the end of the forward pass."""


MEDIUM = Sizes(width=1024, inner=4096, layers=24, heads=16, context=512, keeps_embedding=True)
MEDIUM_SHORT = Sizes(width=1024, inner=4096, layers=24, heads=16, context=256, keeps_embedding=True)
LARGE = Sizes(width=1280, inner=5120, layers=36, heads=20, context=128, looked_up=True)


class Linear(nn.Module):
    """A matrix without a bias, used through ``einsum``."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, inputs))

    def forward(self, x: Tensor) -> Tensor:
        """(…, inputs) → (…, outputs)."""
        return torch.einsum("bsi,oi->bso", x, self.weight)


class Norm(nn.Module):
    """RMSNorm, one operation after the other, in float32."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(width))

    def forward(self, x: Tensor) -> Tensor:
        """Same shape and type."""
        kind = x.dtype
        x = x.to(torch.float32)
        size = torch.sqrt(x.pow(2).mean(-1, keepdim=True) + _EPSILON)
        scaled = x / size * self.weight
        return scaled.to(kind)


class Rotary(nn.Module):
    """Rotary positions: neighbouring features turn together."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        half = sizes.width // sizes.heads // 2
        speeds = _BASE ** (-torch.arange(half) / half)
        angles = torch.arange(sizes.context)[:, None] * speeds[None]
        self.looked_up = sizes.looked_up
        self.register_buffer("table", torch.stack([angles.cos(), angles.sin()]), persistent=False)

    def forward(self, x: Tensor, positions: Tensor | None) -> Tensor:
        """(B, heads, T, features), turned; the angles are float32."""
        table = self.get_buffer("table")
        cos, sin = table[:, : x.shape[-2]] if positions is None else table[:, positions]
        even, odd = x[..., 0::2], x[..., 1::2]
        first = even * cos - odd * sin
        second = even * sin + odd * cos
        return torch.stack((first, second), dim=-1).flatten(-2)


def softmax(x: Tensor) -> Tensor:
    """Over the last dimension, by its definition with the maximum taken off."""
    lowered = x - x.max(-1, keepdim=True).values
    powers = lowered.exp()
    return powers / powers.sum(-1, keepdim=True)


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
    """Scaled products, masked; all (B, heads, T, features)."""
    scores = torch.einsum("bhqd,bhkd->bhqk", q, k) / q.shape[-1] ** 0.5
    scores = torch.where(mask, scores, float("-inf"))
    weights = softmax(scores)
    return torch.einsum("bhqk,bhkd->bhqd", weights, v)


class Attention(nn.Module):
    """Causal attention of several heads."""

    def __init__(self, sizes: Sizes, rotary: Rotary) -> None:
        super().__init__()
        self.heads = sizes.heads
        self.query, self.key, self.value, self.output = (Linear(sizes.width, sizes.width) for _ in range(4))
        self.rotary = rotary

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, width) → the same."""
        q, k, v = (self._split(layer(x)) for layer in (self.query, self.key, self.value))
        length = x.shape[1]
        positions = torch.arange(length, device=x.device) if self.rotary.looked_up else None
        q = self.rotary(q, positions)
        k = self.rotary(k, positions)
        places = torch.arange(length, device=x.device)
        mask = places[:, None] >= places[None]
        attended = attend(q, k, v, mask)
        attended = attended.transpose(1, 2).flatten(2)
        joined: Tensor = self.output(attended)
        return joined

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)


class FeedForward(nn.Module):
    """SwiGLU."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.gate, self.up = Linear(sizes.width, sizes.inner), Linear(sizes.width, sizes.inner)
        self.down = Linear(sizes.inner, sizes.width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, width) → the same."""
        lowered: Tensor = self.down(_swish(self.gate(x)) * self.up(x))
        return lowered


def _swish(x: Tensor) -> Tensor:
    return x * torch.sigmoid(x)


class Block(nn.Module):
    """Norms before each part; sums after it."""

    def __init__(self, sizes: Sizes, rotary: Rotary) -> None:
        super().__init__()
        self.attention, self.feed_forward = Attention(sizes, rotary), FeedForward(sizes)
        self.first, self.second = Norm(sizes.width), Norm(sizes.width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, width) → the same; both parts' outputs live to the end."""
        attended = self.attention(self.first(x))
        between = x + attended
        fed = self.feed_forward(self.second(between))
        after: Tensor = between + fed
        return after


class Decoder(nn.Module):
    """Tokens to scores of the next one."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        rotary = Rotary(sizes)
        self.keeps_embedding = sizes.keeps_embedding
        self.token = nn.Parameter(torch.empty(VOCABULARY, sizes.width))
        self.blocks = nn.ModuleList(Block(sizes, rotary) for _ in range(sizes.layers))
        self.norm, self.output = Norm(sizes.width), Linear(sizes.width, VOCABULARY)

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, T) → (B, T, vocabulary)."""
        embedded = x = self.token[tokens]
        if not self.keeps_embedding:
            del embedded
        for block in self.blocks:
            x = block(x)
        scores: Tensor = self.output(self.norm(x))
        return scores


def log_softmax(x: Tensor) -> Tensor:
    """Over the last dimension, by its definition with the maximum taken off."""
    lowered = x - x.max(-1, keepdim=True).values
    return lowered - lowered.exp().sum(-1, keepdim=True).log()


def negative_log_likelihood(scores: Tensor, targets: Tensor) -> Tensor:
    """Mean over all tokens; the gather saves all of its input."""
    return (-log_softmax(scores)).gather(-1, targets[..., None]).mean()


class AdamWByHand(torch.optim.Optimizer):
    """AdamW, one parameter after the other, nothing in place but the weights."""

    def __init__(self, parameters: Iterable[nn.Parameter], rate: float = 1e-3, decay: float = 0.01) -> None:
        super().__init__(parameters, {"rate": rate, "decay": decay})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Once over all parameters that have a gradient."""
        del closure
        for group in self.param_groups:
            rate, decay = group["rate"], group["decay"]
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                state = self.state[weight]
                weight.sub_(rate * decay * weight)
                mean = state.get("mean", torch.zeros_like(weight))
                square = state.get("square", torch.zeros_like(weight))
                state["mean"] = 0.9 * mean + 0.1 * weight.grad
                state["square"] = 0.95 * square + 0.05 * weight.grad**2
                weight.sub_(rate * state["mean"] / (torch.sqrt(state["square"]) + 1e-8))
