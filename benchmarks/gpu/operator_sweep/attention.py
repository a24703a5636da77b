"""Attention in every backend, masks, and PyTorch's own layers of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from benchmarks.gpu.operator_sweep.case import Operator, fixed, floats, in_formats, mask

_BACKENDS = {
    "flash": SDPBackend.FLASH_ATTENTION,
    "efficient": SDPBackend.EFFICIENT_ATTENTION,
    "math": SDPBackend.MATH,
}


def operators() -> Iterator[Operator]:
    """Every case."""
    yield from in_formats(list(_plain()), "fp32", "bf16", "fp16")
    yield from in_formats(list(_chosen()), "fp32", "fp16")
    yield from in_formats(list(_plain())[:6], "bf16", autocast=True)
    yield from in_formats(list(_layers()), "fp32", "fp16")
    yield from in_formats(list(_layers()), "fp16", autocast=True)
    for case in _evaluated():
        for grad in ("no_grad", "inference_mode"):
            yield from in_formats([replace(case, grad=grad)], "fp32", "fp16")
            yield from in_formats([replace(case, grad=grad)], "fp16", autocast=True)


def _three(size: int = 64, heads: int = 8, keys: int = 128, key_heads: int | None = None) -> tuple[object, ...]:
    key = floats(4, key_heads or heads, keys, size)
    return floats(4, heads, 128, size), key, key


def _attend(name: str, tensors: tuple[object, ...], **options: object) -> Operator:
    def run(_: object, q: Tensor, k: Tensor, v: Tensor, m: Tensor | None = None) -> Tensor:
        return F.scaled_dot_product_attention(q, k, v, m, **options)  # type: ignore[arg-type]

    return Operator(f"attention {name}", run, tensors)  # type: ignore[arg-type]


def _plain() -> Iterator[Operator]:
    yield _attend("plain", _three())
    yield _attend("causal", _three(), is_causal=True)
    yield _attend("dropout", _three(), dropout_p=0.1)
    yield _attend("bool mask", (*_three(), mask(4, 1, 128, 128)))
    yield _attend("float mask", (*_three(), fixed(128, 128)))
    yield _attend("learned mask", (*_three(), floats(8, 128, 128)))
    yield _attend("odd mask", (*_three(keys=77), mask(4, 1, 128, 77)))
    yield _attend("grouped", _three(key_heads=2), enable_gqa=True)
    yield _attend("grouped causal", _three(key_heads=2), enable_gqa=True, is_causal=True)
    for size in (32, 40, 72, 80, 96, 100, 128, 192, 256, 320):
        yield _attend(f"size {size}", _three(size))
        yield _attend(f"size {size} causal", _three(size), is_causal=True)
    yield _attend("odd keys", _three(keys=77))
    yield _attend("3d", tuple(floats(16, 128, 64) for _ in range(3)))
    yield _attend("value size", (*_three()[:2], floats(4, 8, 128, 32)))


def _chosen() -> Iterator[Operator]:
    for name, backend in _BACKENDS.items():
        for causal in (False, True):

            def run(_: object, q: Tensor, k: Tensor, v: Tensor, b: object = backend, c: bool = causal) -> Tensor:
                with sdpa_kernel(b):  # type: ignore[arg-type]
                    return F.scaled_dot_product_attention(q, k, v, is_causal=c)

            if name != "flash":
                yield Operator(f"attention by {name}{' causal' if causal else ''}", run, _three())  # type: ignore[arg-type]


def _layers() -> Iterator[Operator]:
    x = (floats(8, 64, 128),)
    for dropout in (0.0, 0.1):
        yield Operator(
            f"multihead {dropout}",
            lambda m, x: m(x, x, x, need_weights=False)[0],
            x,
            lambda p=dropout: nn.MultiheadAttention(128, 4, p, batch_first=True),
        )
        yield Operator(
            f"multihead weights {dropout}",
            lambda m, x: m(x, x, x)[0],
            x,
            lambda p=dropout: nn.MultiheadAttention(128, 4, p, batch_first=True),
        )
        yield Operator(
            f"encoder layer {dropout}",
            lambda m, x: m(x),
            x,
            lambda p=dropout: nn.TransformerEncoderLayer(128, 4, 256, p, batch_first=True),
        )
    yield Operator(
        "encoder layer padded",
        lambda m, x, p: m(x, src_key_padding_mask=p),
        (*x, mask(8, 64)),
        lambda: nn.TransformerEncoderLayer(128, 4, 256, batch_first=True),
    )
    yield Operator(
        "decoder layer",
        lambda m, x, y: m(
            x, y, tgt_is_causal=True, tgt_mask=torch.ones(64, 64, dtype=torch.bool, device=x.device).triu(1)
        ),
        (*x, floats(8, 50, 128)),
        lambda: nn.TransformerDecoderLayer(128, 4, 256, batch_first=True),
    )


def _evaluated() -> Iterator[Operator]:
    x = (fixed(8, 64, 128),)
    yield Operator(
        "multihead eval",
        lambda m, x: m(x, x, x, need_weights=False)[0],
        x,
        lambda: nn.MultiheadAttention(128, 4, batch_first=True).eval(),
    )
    yield Operator(
        "multihead eval weights",
        lambda m, x: m(x, x, x)[0],
        x,
        lambda: nn.MultiheadAttention(128, 4, batch_first=True).eval(),
    )
    yield Operator(
        "encoder layer eval",
        lambda m, x: m(x),
        x,
        lambda: nn.TransformerEncoderLayer(128, 4, 256, batch_first=True).eval(),
    )
    yield Operator(
        "encoder layer eval gelu first",
        lambda m, x: m(x),
        x,
        lambda: nn.TransformerEncoderLayer(128, 4, 256, activation="gelu", batch_first=True, norm_first=True).eval(),
    )
