"""Which kernel runs attention on CUDA, and what it keeps."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from bigmodel_lab.memory.requests import RequestTrace
from bigmodel_lab.trace import Target
from bigmodel_lab.trace.cuda_rules.fused_attention import backend
from tests.trace.reading import after_forward, alive, ran, trained

SAMPLES, HEADS, LENGTH, SIZE = 2, 4, 1024, 64
AMPERE, TURING, PASCAL = Target((8, 0)), Target((7, 5)), Target((6, 0))
SQUARE = HEADS * LENGTH * LENGTH
"""Pairs of all heads of one sample."""


def tensor(dtype: torch.dtype, size: int = SIZE, length: int = LENGTH) -> Tensor:
    """Queries, keys or values on the meta device."""
    return torch.empty(SAMPLES, HEADS, length, size, dtype=dtype, device="meta")


MASK = torch.empty(1, 1, LENGTH, LENGTH, dtype=torch.bool, device="meta")


@pytest.mark.parametrize(
    ("dtype", "size", "target", "mask", "kernel"),
    [
        (torch.float16, 64, AMPERE, None, "flash"),
        (torch.bfloat16, 64, AMPERE, None, "flash"),
        (torch.bfloat16, 256, AMPERE, None, "flash"),
        (torch.bfloat16, 264, AMPERE, None, "efficient"),  # heads above 256
        (torch.bfloat16, 20, AMPERE, None, "flash"),  # padded to 24
        (torch.bfloat16, 64, AMPERE, MASK, "efficient"),
        (torch.float32, 64, AMPERE, None, "efficient"),
        (torch.float32, 64, AMPERE, MASK, "efficient"),
        (torch.float64, 64, AMPERE, None, "math"),
        (torch.float32, 30, AMPERE, None, "math"),  # 30 is no multiple of 4
        (torch.float16, 64, TURING, None, "efficient"),
        (torch.float16, 60, TURING, None, "math"),  # no multiple of 8
        (torch.bfloat16, 64, TURING, None, "math"),  # no bf16 before Ampere
        (torch.float32, 64, TURING, None, "efficient"),
        (torch.float32, 30, PASCAL, None, "efficient"),  # no alignment without tensor cores
        (torch.float16, 64, PASCAL, None, "efficient"),
    ],
)
def test_the_kernel_by_format_card_mask_and_head(
    dtype: torch.dtype, size: int, target: Target, mask: Tensor | None, kernel: str
) -> None:
    """As sdp_utils.cpp decides."""
    q = tensor(dtype, size)

    assert backend(q, q, q, mask, target) == kernel


def test_causal_attention_to_a_longer_past_is_not_flash() -> None:
    """Where queries are fewer than keys, as in generation, flash refuses a causal mask."""
    query, key = tensor(torch.bfloat16, length=8), tensor(torch.bfloat16)

    assert backend(query, key, key, None, AMPERE, is_causal=True) == "efficient"
    assert backend(key, key, key, None, AMPERE, is_causal=True) == "flash"


def test_three_dimensions_are_the_textbook() -> None:
    """Fused kernels want (batch, heads, length, size)."""
    q = torch.empty(8, LENGTH, SIZE, dtype=torch.bfloat16, device="meta")

    assert backend(q, q, q, None, AMPERE) == "math"


@pytest.mark.parametrize(
    ("allowed", "kernel"),
    [
        (SDPBackend.MATH, "math"),
        (SDPBackend.EFFICIENT_ATTENTION, "efficient"),
        (SDPBackend.FLASH_ATTENTION, "flash"),
    ],
)
def test_a_kernel_can_be_forced(allowed: SDPBackend, kernel: str) -> None:
    """By torch.nn.attention.sdpa_kernel."""
    q = tensor(torch.bfloat16)
    with sdpa_kernel(allowed):
        assert backend(q, q, q, None, AMPERE) == kernel


# ---------------------------------------------------------------- what a step keeps


class Attention(nn.Module):
    """One projection to queries, keys and values, and attention."""

    def __init__(self, dtype: torch.dtype, call: Callable[[Tensor, Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.project = nn.Linear(8, 3 * HEADS * SIZE, bias=False, dtype=dtype)
        self.call = call

    def forward(self, x: Tensor) -> Tensor:
        """Attention of the batch to itself."""
        q, k, v = self.project(x).unflatten(-1, (3, HEADS, SIZE)).permute(2, 0, 3, 1, 4).unbind(0)
        return self.call(q, k, v)


def attended(
    dtype: torch.dtype, call: Callable[..., Tensor] = F.scaled_dot_product_attention, target: Target = AMPERE
) -> RequestTrace:
    """Two steps of training."""
    return trained(Attention(dtype, call), torch.empty(SAMPLES, LENGTH, 8, dtype=dtype), target=target)


def kept(trace: RequestTrace) -> int:
    """Bytes that wait for the backward pass, numbers apart."""
    return sum(a.bytes for a in alive(trace, after_forward(trace)) if a.category == "activation" and a.bytes > 16)


def has_square(trace: RequestTrace) -> bool:
    """Something as large as the matrix of all pairs was made."""
    return any(a.shape and a.bytes >= SAMPLES * SQUARE for a in trace.allocations)


ROWS = SAMPLES * HEADS * LENGTH


@pytest.mark.parametrize(
    ("dtype", "bytes_each", "target"),
    [(torch.bfloat16, 2, AMPERE), (torch.float32, 4, AMPERE), (torch.float16, 2, TURING)],
)
def test_fused_attention_keeps_inputs_output_and_a_number_a_row(
    dtype: torch.dtype, bytes_each: int, target: Target
) -> None:
    """Queries, keys and values in one tensor; the output; the logarithm of each row's sum in fp32. Nothing of all pairs."""
    trace = attended(dtype, target=target)
    expected = 4 * ROWS * SIZE * bytes_each + 4 * ROWS

    assert expected <= kept(trace) <= expected + 64
    assert not has_square(trace)


def test_the_textbook_formula_keeps_all_pairs() -> None:
    """Where it is forced."""

    def textbook(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        with sdpa_kernel(SDPBackend.MATH):
            return F.scaled_dot_product_attention(q, k, v)

    trace = attended(torch.float32, textbook)

    assert has_square(trace)
    assert kept(trace) >= SAMPLES * SQUARE * 4


def test_a_mask_of_allowed_pairs_becomes_numbers() -> None:
    """One for all heads and samples, in the queries' format; no matrix for each head."""

    def call(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        mask = torch.ones(LENGTH, LENGTH, dtype=torch.bool, device=q.device).tril()
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)

    trace = attended(torch.bfloat16, call)
    squares = [a for a in trace.allocations if a.shape == (LENGTH, LENGTH) and a.dtype == "bfloat16"]

    assert {a.bytes for a in squares} == {LENGTH * LENGTH * 2}
    assert not any(a.bytes >= SAMPLES * SQUARE * 2 for a in trace.allocations)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_dropout_in_attention_keeps_no_mask(dtype: torch.dtype) -> None:
    """Fused kernels draw it again from two numbers."""
    trace = attended(dtype, lambda q, k, v: F.scaled_dot_product_attention(q, k, v, dropout_p=0.1))

    assert not has_square(trace)
    assert kept(trace) <= 4 * ROWS * SIZE * dtype.itemsize + 4 * ROWS + 64


def test_the_backward_pass_of_flash_sums_in_32_bits() -> None:
    """A number a row, and queries' gradients in fp32, rows in blocks of 128, heads in steps of 32; both at once."""
    trace = attended(torch.bfloat16)
    extras = [(a.maker, a.bytes) for a in trace.allocations if a.maker.startswith("flash attention: ")]
    extras = [extra for extra in extras if "heads behind tokens" not in extra[0]]

    assert extras == [("flash attention: row sums", 4 * ROWS), ("flash attention: gradient sums", 4 * ROWS * SIZE)] * 2


def test_flash_copies_a_gradient_whose_heads_are_not_behind_tokens() -> None:
    """That of a plain sum is one number for all; the result itself lies as the kernel wrote it."""
    copies = [a.bytes for a in attended(torch.bfloat16).allocations if a.maker.endswith("heads behind tokens")]

    assert copies == [2 * ROWS * SIZE] * 2


def test_the_backward_pass_of_the_efficient_kernel() -> None:
    """A number a row; in fp32 a product as large as the result first, in 16 bits a workspace."""
    wide = [a.bytes for a in attended(torch.float32).allocations if a.maker.startswith("efficient attention")]
    narrow = attended(torch.float16, target=TURING).allocations

    assert wide == [4 * ROWS, 4 * ROWS * SIZE + 4 * ROWS] * 2
    assert {a.maker for a in narrow if a.maker.startswith("efficient")} == {
        "efficient attention: row sums",
        "efficient attention: workspace",
    }


def test_odd_heads_are_padded_for_flash() -> None:
    """20 elements become 24; the result has 20."""
    seen: list[torch.Size] = []

    def call(_: nn.Module, q: Tensor) -> None:
        seen.append(F.scaled_dot_product_attention(q, q, q).shape)

    trace = ran(call, torch.empty(1, 2, 8, 20, dtype=torch.bfloat16))

    assert seen == [(1, 2, 8, 20)]
    assert [a.shape[-1] for a in trace.allocations if a.maker == "aten.constant_pad_nd"] == [24, 24, 24]


def shared_heads(dtype: torch.dtype) -> RequestTrace:
    """Training of 4 heads of queries over 2 of keys and values, of 16 rows of 8."""
    q = torch.empty(2, 4, 16, 8, dtype=dtype, requires_grad=True)
    kv = torch.empty(2, 2, 16, 8, dtype=dtype, requires_grad=True)

    def call(_: nn.Module, batch: tuple[Tensor, Tensor]) -> None:
        F.scaled_dot_product_attention(batch[0], batch[1], batch[1], enable_gqa=True).sum().backward()

    return ran(call, q, kv)


def test_shared_keys_are_not_repeated_by_flash() -> None:
    """Only their gradients are, in the backward pass: of keys and of values, for every head of the queries."""
    trace = shared_heads(torch.bfloat16)
    label = "flash attention: gradients of shared keys and values"

    assert "aten._scaled_dot_product_flash_attention" in makers(trace)
    assert "aten.repeat_interleave" not in makers(trace)
    assert [a.bytes for a in trace.allocations if a.maker == label] == [2 * 2 * 4 * 16 * 8 * 2]


def test_shared_keys_in_32_bits_are_the_textbook() -> None:
    """The memory-efficient kernel takes none, so that all pairs are written out."""
    assert any(a.shape[-2:] == (16, 16) for a in shared_heads(torch.float32).allocations)


def test_autocast_narrows_what_attention_gets() -> None:
    """fp32 queries under bf16 autocast run in flash."""

    def call(_: nn.Module, q: Tensor) -> None:
        with torch.autocast("cuda", dtype=torch.bfloat16):
            F.scaled_dot_product_attention(q, q, q)

    trace = ran(call, torch.empty(1, 2, 16, 8))

    assert "aten._scaled_dot_product_flash_attention" in {a.maker for a in trace.allocations}


# ---------------------------------------------------------------- modules of torch go the same way


def makers(trace: RequestTrace) -> set[str]:
    """All operations that asked for memory."""
    return {a.maker for a in trace.allocations}


def narrow(model: nn.Module, x: Tensor) -> Tensor:
    """A step under autocast."""
    with torch.autocast("cuda", dtype=torch.bfloat16):
        out = model(x)
    return (out[0] if isinstance(out, tuple) else out).float().sum()


def test_multihead_attention_without_weights_is_fused() -> None:
    """need_weights=False, as models of today call it."""
    model = nn.MultiheadAttention(64, 4, batch_first=True)

    def forward(model: nn.Module, x: Tensor) -> Tensor:
        return model(x, x, x, need_weights=False)[0].sum()

    trace = trained(model, torch.empty(2, LENGTH, 64), forward)

    assert "aten._scaled_dot_product_efficient_attention" in makers(trace)
    assert not any(a.shape[-2:] == (LENGTH, LENGTH) for a in trace.allocations)


def test_multihead_attention_with_weights_is_the_textbook() -> None:
    """They are averaged over the heads and returned, so all pairs are there."""
    trace = trained(
        nn.MultiheadAttention(64, 4, batch_first=True), torch.empty(2, LENGTH, 64), lambda m, x: m(x, x, x)[0].sum()
    )

    assert any(a.shape[-2:] == (LENGTH, LENGTH) for a in trace.allocations)


def test_an_encoder_layer_follows_all_rules() -> None:
    """Fused attention, wide layer norm, dropout with a mask of one byte."""
    layer = nn.TransformerEncoderLayer(64, 4, dim_feedforward=128, batch_first=True)
    trace = trained(layer, torch.empty(2, LENGTH, 64), narrow)
    norms = {a.dtype for a in trace.allocations if a.maker == "aten.native_layer_norm"}

    assert "aten._scaled_dot_product_flash_attention" in makers(trace)
    assert norms == {"float32"}
    assert {a.dtype for a in trace.allocations if a.maker == "aten.native_dropout"} == {"bfloat16", "bool"}
    assert {a.module for a in trace.allocations if a.maker.startswith("aten._scaled_dot_product_flash")} == {
        "self_attn"
    }
