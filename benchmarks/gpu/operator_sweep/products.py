"""Products of matrices, convolutions, recurrence-free layers with weights."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F

from benchmarks.gpu.operator_sweep.case import Operator, floats, in_formats


def operators() -> Iterator[Operator]:
    """Every case."""
    yield from in_formats(_matrices(), "fp32", "bf16", "fp16")
    yield from in_formats(_matrices(), "bf16", autocast=True)
    yield from in_formats(_einsums(), "fp32", "bf16")
    yield from in_formats(_einsums(), "fp16", autocast=True)
    yield from in_formats(_convolutions(), "fp32", "bf16")
    yield from in_formats(_convolutions(), "fp16", autocast=True)


def _matrices() -> Iterator[Operator]:
    def linear(_: object, *tensors: torch.Tensor) -> torch.Tensor:
        return F.linear(*tensors)

    for rows in (16, 512, 4096):
        for width in (64, 1000, 2048):
            x, w = floats(rows, 256), floats(width, 256)
            yield Operator(f"linear bias {rows} {width}", linear, (x, w, floats(width)))
    yield Operator("linear 3d", linear, (floats(8, 512, 256), floats(512, 256)))
    yield Operator("linear 3d bias", linear, (floats(8, 512, 256), floats(512, 256), floats(512)))
    yield Operator("linear 4d bias", linear, (floats(4, 8, 64, 256), floats(512, 256), floats(512)))
    odd = (floats(8, 256, 512, layout="transposed"), floats(512, 512), floats(512))
    yield Operator("linear transposed bias", linear, odd)
    yield Operator("linear 4096 square", linear, (floats(4096, 1024), floats(4096, 1024), floats(4096)))
    yield Operator("linear 1 row", linear, (floats(1, 256), floats(512, 256), floats(512)))
    yield Operator("mm", lambda _, a, b: a @ b, (floats(256, 512), floats(512, 128)))
    yield Operator("mm transposed", lambda _, a, b: a.t() @ b, (floats(512, 256), floats(512, 128)))
    yield Operator("mv", lambda _, a, b: a @ b, (floats(256, 512), floats(512)))
    yield Operator("dot", lambda _, a, b: a @ b, (floats(512), floats(512)))
    yield Operator("outer", lambda _, a, b: torch.outer(a, b), (floats(512), floats(256)))
    yield Operator("bmm", lambda _, a, b: torch.bmm(a, b), (floats(16, 128, 64), floats(16, 64, 256)))
    yield Operator("matmul broadcast", lambda _, a, b: a @ b, (floats(4, 8, 128, 64), floats(8, 64, 32)))
    yield Operator(
        "matmul keys", lambda _, a, b: a @ b.transpose(-1, -2), (floats(4, 8, 128, 64), floats(4, 8, 96, 64))
    )
    yield Operator(
        "baddbmm",
        lambda _, c, a, b: torch.baddbmm(c, a, b),
        (floats(16, 128, 96), floats(16, 128, 64), floats(16, 64, 96)),
    )
    yield Operator(
        "addmm matrix", lambda _, c, a, b: torch.addmm(c, a, b), (floats(128, 96), floats(128, 64), floats(64, 96))
    )
    yield Operator(
        "bilinear",
        lambda _, a, b, w, c: F.bilinear(a, b, w, c),
        (floats(64, 32), floats(64, 48), floats(20, 32, 48), floats(20)),
    )
    yield Operator("cosine_similarity", lambda _, a, b: F.cosine_similarity(a, b), (floats(512, 256), floats(512, 256)))
    yield Operator("cdist", lambda _, a, b: torch.cdist(a, b), (floats(4, 64, 32), floats(4, 96, 32)))


def _einsums() -> Iterator[Operator]:
    formulas = {
        "bhid,bhjd->bhij": ((4, 8, 64, 32), (4, 8, 48, 32)),
        "bhij,bhjd->bhid": ((4, 8, 64, 48), (4, 8, 48, 32)),
        "bld,de->ble": ((4, 64, 32), (32, 96)),
        "bld,hde->bhle": ((4, 64, 32), (8, 32, 16)),
        "ij,ij->i": ((128, 256), (128, 256)),
        "bi,bj->bij": ((16, 64), (16, 96)),
    }
    for formula, (a, b) in formulas.items():
        yield Operator(f"einsum {formula}", lambda _, x, y, f=formula: torch.einsum(f, x, y), (floats(*a), floats(*b)))


def _convolutions() -> Iterator[Operator]:
    def conv2d(_: object, x: torch.Tensor, w: torch.Tensor, b: torch.Tensor | None = None) -> torch.Tensor:
        return F.conv2d(x, w, b, padding=1)

    w = floats(32, 16, 3, 3)
    for layout in ("contiguous", "channels_last"):
        for batch, side in ((8, 28), (64, 56)):
            x = floats(batch, 16, side, side, layout=layout)
            yield Operator(f"conv2d {layout} {side}", conv2d, (x, w))
            yield Operator(f"conv2d bias {layout} {side}", conv2d, (x, w, floats(32)))
    x = floats(8, 16, 28, 28)
    yield Operator("conv2d no batch", conv2d, (floats(16, 28, 28), w, floats(32)))
    yield Operator("conv2d stride", lambda _, x, w, b: F.conv2d(x, w, b, stride=2), (x, w, floats(32)))
    yield Operator(
        "conv2d grouped", lambda _, x, w, b: F.conv2d(x, w, b, groups=4), (x, floats(32, 4, 3, 3), floats(32))
    )
    yield Operator(
        "conv2d depthwise", lambda _, x, w, b: F.conv2d(x, w, b, groups=16), (x, floats(16, 1, 3, 3), floats(16))
    )
    yield Operator("conv2d pointwise", lambda _, x, w, b: F.conv2d(x, w, b), (x, floats(32, 16, 1, 1), floats(32)))
    yield Operator("conv2d same", lambda _, x, w: F.conv2d(x, w, padding="same"), (x, floats(32, 16, 4, 4)))
    yield Operator(
        "conv1d bias", lambda _, x, w, b: F.conv1d(x, w, b), (floats(8, 16, 500), floats(32, 16, 5), floats(32))
    )
    yield Operator(
        "conv3d bias",
        lambda _, x, w, b: F.conv3d(x, w, b),
        (floats(4, 8, 12, 16, 16), floats(16, 8, 3, 3, 3), floats(16)),
    )
    yield Operator(
        "conv_transpose1d",
        lambda _, x, w, b: F.conv_transpose1d(x, w, b, 2),
        (floats(8, 16, 200), floats(16, 8, 4), floats(8)),
    )
    up = (floats(8, 16, 14, 14), floats(16, 32, 2, 2), floats(32))
    yield Operator("conv_transpose2d", lambda _, x, w, b: F.conv_transpose2d(x, w, b, 2), up)
    yield Operator(
        "conv_transpose3d",
        lambda _, x, w, b: F.conv_transpose3d(x, w, b, 2),
        (floats(2, 8, 6, 8, 8), floats(8, 8, 2, 2, 2), floats(8)),
    )
