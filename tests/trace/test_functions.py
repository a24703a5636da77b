"""Functions of torch that are replaced, at whatever depth they are called."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bigmodel_lab.trace import Target
from bigmodel_lab.trace._functions import CudaFunctions, _opened
from tests.trace.reading import made_by, ran

X = torch.empty(8, 16)


def test_a_function_in_python_is_opened() -> None:
    """F.dropout is written in Python and calls torch.dropout, which has a rule."""
    assert made_by(ran(lambda model, x: F.dropout(x, 0.5), X), "aten.native_dropout") != []


def test_a_function_that_does_not_ask_is_left_alone() -> None:
    """One of the person's own, and one in C."""
    assert _opened(test_a_function_in_python_is_opened) is None  # type: ignore[arg-type]


def test_an_opened_function_is_the_same_with_all_its_defaults() -> None:
    """Its defaults and keyword defaults are those of the original."""
    opened = _opened(F.gumbel_softmax)  # type: ignore[arg-type]

    assert opened is not None
    assert (opened.__defaults__, opened.__kwdefaults__) == (
        F.gumbel_softmax.__defaults__,
        F.gumbel_softmax.__kwdefaults__,
    )


@pytest.mark.parametrize(
    "call",
    [
        lambda x: x.norm(),
        lambda x: torch.norm(x, dim=1),
        lambda x: 2.0**x,
        lambda x: 1 - x,
        lambda x: F.interpolate(x.view(1, 2, 8, 8), scale_factor=2),
        lambda x: F.pad(x, (1, 1)),
        F.normalize,
        lambda x: F.gumbel_softmax(x, hard=True),
        lambda x: torch.stft(x.flatten(), 16, return_complex=True, window=torch.ones(16)),
        lambda x: torch.cdist(x, x),
        lambda x: torch.einsum("ij,ij->i", x, x),
        lambda x: torch.meshgrid(x[0], x[1], indexing="ij"),
        lambda x: x.split([3, 5]),
        lambda x: F.one_hot(x.argmax(1), 16),
        lambda x: torch.cartesian_prod(x[0], x[1]),
        lambda x: x.unflatten(1, (4, 4)),
        lambda x: F.grid_sample(x.view(1, 2, 8, 8), torch.empty(1, 8, 8, 2), align_corners=False),
        lambda x: F.kl_div(x, x, reduction="batchmean"),
        lambda x: F.huber_loss(x, x),
        lambda x: repr(x.shape),
    ],
)
def test_python_functions_of_torch_run_opened(call: Callable[[Tensor], object]) -> None:
    """As without a trace: none calls itself for ever, none loses an argument."""
    ran(lambda model, x: call(x), X)


def test_results_are_the_usual_ones_without_autocast() -> None:
    """On real tensors the replaced and opened functions compute what they did."""
    x = torch.randn(2, 4, 8, 16)
    calls: list[Callable[[], Tensor]] = [
        lambda: F.layer_norm(x, (16,)),
        lambda: F.softmax(x, -1),
        lambda: F.cross_entropy(x[0, 0], torch.arange(8), label_smoothing=0.1),
        lambda: x.pow(2).sum(),
        lambda: F.gelu(x).norm(),
    ]
    before = [call() for call in calls]
    with CudaFunctions(Target()):
        inside = [call() for call in calls]

    assert all(torch.allclose(a, b) for a, b in zip(before, inside, strict=True))


def test_smoothed_cross_entropy_computes_the_same_under_autocast() -> None:
    """The formula that stands in for the kernel of CUDA, ignored places included; the divisor of a mean changes no memory."""
    scores, labels = torch.randn(8, 5), torch.tensor([0, 1, 2, 3, 4, 0, -100, 1])
    for reduction in ("none", "sum"):
        expected = F.cross_entropy(scores, labels, label_smoothing=0.1, reduction=reduction)
        with CudaFunctions(Target()), torch.autocast("cpu", dtype=torch.bfloat16):
            found = F.cross_entropy(scores, labels, label_smoothing=0.1, reduction=reduction)

        assert torch.allclose(found, expected, atol=1e-5), reduction


def test_attention_of_a_module_is_reached() -> None:
    """Three functions deep: module, F.multi_head_attention_forward, scaled_dot_product_attention."""
    model = nn.MultiheadAttention(16, 2, batch_first=True)
    trace = ran(lambda model, x: model(x, x, x, need_weights=False), torch.empty(2, 8, 16), model=model)

    assert made_by(trace, "aten._scaled_dot_product_efficient_attention") != []
