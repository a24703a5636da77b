"""Operations that autocast narrows, widens or leaves alone on CUDA, as an emulated card showed (2026-11-30)."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bigmodel_lab.trace import _autocast
from tests.trace.reading import ran

Two = Callable[[Tensor, Tensor], object]
MODES = [torch.enable_grad, torch.no_grad, torch.inference_mode]
X, WEIGHT = torch.empty(2, 8, 16), nn.Parameter(torch.empty(32, 16))


def einsum(x: Tensor, weight: Tensor) -> Tensor:
    """A linear layer without a bias."""
    return torch.einsum("bsd,ed->bse", x, weight)


def made(
    function: Two, mode: Callable[[], AbstractContextManager[object]] = torch.enable_grad, x: Tensor = X
) -> list[tuple[str, int]]:
    """Number formats and bytes that a function of (x, weight) asks for under bf16 autocast."""

    def run(_: nn.Module, batch: tuple[Tensor, Tensor]) -> None:
        with mode(), torch.autocast("cuda", dtype=torch.bfloat16):
            function(*batch)

    trace = ran(run, x, WEIGHT)
    return [(a.dtype, a.bytes) for a in trace.allocations if a.category != "input" and a.dtype]


@pytest.mark.parametrize("mode", MODES)
def test_einsum_runs_in_16_bits(mode: Callable[[], AbstractContextManager[object]]) -> None:
    """The first operand, the second, the result: in inference mode as well."""
    assert made(einsum, mode) == [("bfloat16", 512), ("bfloat16", 1024), ("bfloat16", 1024)]


@pytest.mark.parametrize("mode", MODES[:2])
def test_a_weight_is_narrowed_once(mode: Callable[[], AbstractContextManager[object]]) -> None:
    """Autocast keeps it, with or without gradients."""
    assert made(lambda x, w: [einsum(x, w) for _ in range(3)], mode).count(("bfloat16", 512)) == 3
    assert len(made(lambda x, w: [einsum(x, w) for _ in range(3)], mode)) == 7


def test_inference_mode_keeps_no_weight() -> None:
    """Each product narrows it again."""
    assert len(made(lambda x, w: [einsum(x, w) for _ in range(3)], torch.inference_mode)) == 9


def test_narrowed_weights_are_gone_when_autocast_ends() -> None:
    """Nothing is kept for the next step."""
    made(einsum)

    assert _autocast._KEPT.by_weight == {}


@pytest.mark.parametrize("mode", MODES)
def test_tensordot_runs_in_the_widest_format(mode: Callable[[], AbstractContextManager[object]]) -> None:
    """fp32 stays fp32."""
    assert made(lambda x, w: torch.tensordot(x, w, dims=([2], [1])), mode) == [("float32", 2048)]


def test_a_product_with_a_vector_runs_in_16_bits() -> None:
    """Matrix, vector, result."""
    assert {dtype for dtype, _ in made(lambda x, w: torch.mv(w, x[0, 0]))} == {"bfloat16"}


def test_parts_of_two_formats_are_joined_without_copies() -> None:
    """A CPU would widen the narrow part first."""
    narrow = torch.empty(2, 8, 16, dtype=torch.bfloat16)

    assert made(lambda x, _w: torch.cat([x, x.float()]), x=narrow) == [("float32", 1024), ("float32", 2048)]


def test_padding_keeps_the_format() -> None:
    """A CPU pads in 32 bits."""
    narrow = torch.empty(2, 8, 16, dtype=torch.bfloat16)

    assert {dtype for dtype, _ in made(lambda x, _w: F.pad(x, (1, 1), mode="reflect"), x=narrow)} == {"bfloat16"}


def test_without_autocast_nothing_is_changed() -> None:
    """One result in fp32."""
    trace = ran(lambda _, batch: einsum(*batch), X, WEIGHT)

    assert {a.dtype for a in trace.allocations if a.dtype} == {"float32"}
