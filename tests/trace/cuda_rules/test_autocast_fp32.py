"""Under autocast CUDA widens norms, losses and sums: bytes by hand."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bigmodel_lab.memory.requests import RequestTrace
from tests.trace.reading import after_forward, alive, made_by, ran, trained

NARROW = torch.empty(8, 16, dtype=torch.bfloat16)
HALF = torch.empty(8, 16, dtype=torch.float16)


def under_autocast(
    function: Callable[[Tensor], object], x: Tensor, dtype: torch.dtype = torch.bfloat16
) -> RequestTrace:
    """One call, with a trace that counts from the call on."""

    def forward(_model: nn.Module, x: Tensor) -> None:
        with torch.autocast("cuda", dtype=dtype):
            function(x)

    return ran(forward, x)


def made(trace: RequestTrace) -> list[tuple[str, str, int]]:
    """Maker, number format and bytes of all that was made after loading."""
    return [(a.maker, a.dtype, a.bytes) for a in trace.allocations if a.maker != "load"]


def test_layer_norm_widens_its_input_and_keeps_mean_and_deviation() -> None:
    """A copy in fp32, the result in fp32, and two numbers a row."""
    trace = under_autocast(lambda x: F.layer_norm(x, (16,)), NARROW)

    assert made(trace) == [
        ("aten._to_copy", "float32", 512),
        ("aten.native_layer_norm", "float32", 512),
        ("aten.native_layer_norm", "float32", 32),
        ("aten.native_layer_norm", "float32", 32),
    ]


def test_layer_norm_of_fp32_copies_nothing() -> None:
    """What is wide already stays."""
    assert "aten._to_copy" not in [
        maker for maker, _, _ in made(under_autocast(lambda x: F.layer_norm(x, (16,)), NARROW.float()))
    ]


def test_softmax_of_bf16_is_widened_first() -> None:
    """A copy and a result, both in fp32."""
    assert made(under_autocast(lambda x: F.softmax(x, -1), NARROW)) == [
        ("aten._to_copy", "float32", 512),
        ("aten._softmax", "float32", 512),
    ]


@pytest.mark.parametrize("function", [F.softmax, F.log_softmax, torch.softmax, Tensor.softmax, Tensor.log_softmax])
def test_softmax_of_fp16_is_one_kernel(function: Callable[[Tensor, int], Tensor]) -> None:
    """It reads 16 bits and writes 32."""
    found = made(under_autocast(lambda x: function(x, -1), HALF, torch.float16))

    assert [(dtype, size) for _, dtype, size in found] == [("float32", 512)]


def test_softmax_with_a_named_format_is_one_kernel_without_autocast_too() -> None:
    """As many attention layers write it: softmax(scores, dtype=torch.float32)."""
    trace = ran(lambda model, x: F.softmax(x, -1, dtype=torch.float32), HALF)

    assert [(a.maker, a.bytes) for a in trace.allocations[1:]] == [("aten._softmax", 512)]


def test_the_gradient_of_softmax_from_fp16_is_fp16() -> None:
    """Its backward kernel narrows by itself."""
    x = HALF.clone().requires_grad_()
    trace = ran(lambda model, x: F.softmax(x, -1, dtype=torch.float32).sum().backward(), x)

    assert [(a.dtype, a.bytes) for a in made_by(trace, "aten._softmax_backward_data")] == [("float16", 256)]


def test_a_sum_answers_in_32_bits_without_a_copy() -> None:
    """Its kernel reads 16 bits."""
    assert made(under_autocast(lambda x: x.sum(), NARROW)) == [("aten.sum", "float32", 4)]
    assert made(under_autocast(lambda x: torch.sum(x, 0), NARROW)) == [("aten.sum", "float32", 64)]


def test_a_sum_with_a_named_format_stays_in_it() -> None:
    """The caller's word counts."""
    assert made(under_autocast(lambda x: x.sum(dtype=torch.bfloat16), NARROW)) == [("aten.sum", "bfloat16", 2)]


@pytest.mark.parametrize(
    ("function", "maker"),
    [
        (torch.exp, "aten.exp"),
        (lambda x: x.log(), "aten.log"),
        (lambda x: x**2, "aten.pow"),
        (torch.rsqrt, "aten.rsqrt"),
    ],
)
def test_powers_and_logarithms_are_widened(function: Callable[[Tensor], Tensor], maker: str) -> None:
    """A copy and a result, both in fp32."""
    assert made(under_autocast(function, NARROW)) == [("aten._to_copy", "float32", 512), (maker, "float32", 512)]


@pytest.mark.parametrize(
    ("function", "maker"),
    [(F.gelu, "aten.gelu"), (torch.tanh, "aten.tanh"), (lambda x: x.mean(-1, keepdim=True), "aten.mean")],
)
def test_what_is_in_no_list_stays_narrow(function: Callable[[Tensor], Tensor], maker: str) -> None:
    """GELU, tanh and mean compute in the format that they get."""
    assert [(m, dtype) for m, dtype, _ in made(under_autocast(function, NARROW))] == [(maker, "bfloat16")]


def test_without_autocast_nothing_is_widened() -> None:
    """A model in bf16 stays in bf16."""
    trace = ran(lambda model, x: F.layer_norm(F.softmax(x, -1), (16,)).exp().sum(), NARROW)

    assert [a.maker for a in trace.allocations if a.maker == "aten._to_copy"] == []


def test_cross_entropy_keeps_narrow_logarithms_and_widens_them_for_the_loss() -> None:
    """Scores 8 × 16 in bf16: logarithms in bf16 (256 B), a wide copy of them (512 B), the loss and its weight (4 B each)."""
    found = made(under_autocast(lambda x: F.cross_entropy(x, torch.zeros(8, dtype=torch.int64)), NARROW))
    found = [entry for entry in found if entry[1] != "int64"]

    assert found == [
        ("aten._log_softmax", "bfloat16", 256),
        ("aten._to_copy", "float32", 512),
        ("aten.nll_loss_forward", "float32", 4),
        ("aten.nll_loss_forward", "float32", 4),
    ]


def test_cross_entropy_with_smoothed_labels_sums_the_same_logarithms() -> None:
    """No second wide tensor of the scores' size: the sum over classes reads 16 bits."""
    labels = torch.zeros(8, dtype=torch.int64)
    found = made(under_autocast(lambda x: F.cross_entropy(x, labels, label_smoothing=0.1), NARROW))

    assert [size for _, dtype, size in found if dtype == "float32" and size >= 512] == [512]
    assert ("aten.sum", "float32", 32) in found


def test_cross_entropy_of_probabilities_is_widened() -> None:
    """Targets that are numbers take another formula, in fp32."""
    found = made(under_autocast(lambda x: F.cross_entropy(x, torch.zeros(8, 16)), NARROW))

    assert ("aten._log_softmax", "float32", 512) in found


def test_mean_squared_error_is_widened() -> None:
    """Both sides, in fp32."""
    found = made(under_autocast(lambda x: F.mse_loss(x, x), NARROW))

    assert [size for maker, _, size in found if maker == "aten._to_copy"] == [512, 512]


# ---------------------------------------------------------------- the 16-bit list, and the cache of weights


def narrow_step(model: nn.Module, x: Tensor) -> Tensor:
    """Forward pass and loss under autocast."""
    with torch.autocast("cuda", dtype=torch.bfloat16):
        return model(x).sum()


X = torch.empty(8, 16)


def test_a_linear_layer_computes_in_16_bits_of_narrow_copies() -> None:
    """Weight 16 × 32: 1,024 B; input 256 B; output 512 B, and its gradient, which a sum in fp32 hands back in 16 bits."""
    trace = trained(nn.Linear(16, 32, bias=False), X, narrow_step)
    copies = [(a.shape, a.bytes) for a in made_by(trace, "aten._to_copy") if a.dtype == "bfloat16"]

    assert {((32, 16), 1024), ((8, 16), 256)} <= set(copies)
    assert (made_by(trace, "aten.mm")[0].dtype, made_by(trace, "aten.mm")[0].bytes) == ("bfloat16", 512)


def test_a_weight_is_narrowed_once_for_all_its_uses() -> None:
    """The cache of autocast."""

    def twice(model: nn.Module, x: Tensor) -> Tensor:
        with torch.autocast("cuda", dtype=torch.bfloat16):
            return model(model(x)).sum()

    trace = ran(twice, X, model=nn.Linear(16, 16, bias=False))

    assert [a.bytes for a in made_by(trace, "aten._to_copy") if a.shape == (16, 16)] == [512]


def test_the_cache_is_freed_when_autocast_ends() -> None:
    """A first layer needs no weight in its backward pass, a second one does: its narrow copy alone lives on."""
    model = nn.Sequential(nn.Linear(16, 32, bias=False), nn.Linear(32, 4, bias=False))
    trace = trained(model, X, narrow_step)
    copies = [
        a.shape for a in alive(trace, after_forward(trace)) if a.maker == "aten._to_copy" and a.dtype == "bfloat16"
    ]

    assert sorted(copies) == [(4, 32), (8, 16)]


def test_gradients_of_weights_are_wide() -> None:
    """The narrow product dies when its wide copy is made."""
    trace = trained(nn.Linear(16, 32, bias=False), X, narrow_step)

    assert [(a.dtype, a.bytes) for a in trace.allocations if a.category == "gradient"] == [("float32", 2048)] * 2
