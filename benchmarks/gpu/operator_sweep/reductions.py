"""Sums and their kin over rows, columns and all, in several sizes and layouts."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from benchmarks.gpu.operator_sweep.case import Operator, fixed, floats, in_formats, mask, numbers

_KINDS = {
    "sum": torch.sum,
    "mean": torch.mean,
    "var": torch.var,
    "std": torch.std,
    "norm": lambda x, *dim: torch.linalg.vector_norm(x, dim=dim[0] if dim else None),
    "norm 1": lambda x, *dim: torch.linalg.vector_norm(x, 1, dim=dim[0] if dim else None),
    "amax": lambda x, *dim: torch.amax(x, *(dim or [tuple(range(x.dim()))])),
    "amin": lambda x, *dim: torch.amin(x, *(dim or [tuple(range(x.dim()))])),
    "max": torch.max,
    "min": torch.min,
    "argmax": torch.argmax,
}
_MANY = ("sum", "mean", "var", "std", "norm", "norm 1", "amax", "amin")
"""Those that take several dimensions at once."""


def operators() -> Iterator[Operator]:
    """Every case."""
    yield from in_formats(list(_over_matrices()), "fp32", "bf16", "fp16")
    yield from in_formats(list(_over_images()), "fp32", "bf16")
    yield from in_formats(list(_others()), "fp32", "bf16")
    yield from in_formats(list(_over_matrices())[::7], "bf16", autocast=True)


def _over_matrices() -> Iterator[Operator]:
    for rows, columns in ((100, 37), (4096, 512), (4096, 4096), (20_000, 96), (64, 100_000), (300_000, 4)):
        for name, f in _KINDS.items():
            wide = name not in {"sum", "mean"} and rows * columns > 3_000_000
            for dim in () if wide else (0, 1):
                yield Operator(
                    f"{name} {rows}x{columns} dim {dim}", lambda _, x, f=f, d=dim: f(x, d), (fixed(rows, columns),)
                )
            yield Operator(f"{name} {rows}x{columns} all", lambda _, x, f=f: f(x), (fixed(rows, columns),))
    for name in ("sum", "mean", "var", "norm", "amax", "max"):
        f = _KINDS[name]
        x = floats(500, 600)
        yield Operator(f"{name} backward all", lambda _, x, f=f: f(x), (x,))
        yield Operator(f"{name} backward dim 0", lambda _, x, f=f: f(x, 0), (x,))
        yield Operator(f"{name} backward dim 1", lambda _, x, f=f: f(x, 1), (x,))


def _over_images() -> Iterator[Operator]:
    for name in _MANY:
        f = _KINDS[name]
        for layout in ("contiguous", "channels_last"):
            x = fixed(64, 48, 56, 56, layout=layout)
            for dims in ((2, 3), (0, 2, 3), (1,), (0,), (1, 2)):
                title = f"{name} image {layout} {','.join(map(str, dims))}"
                yield Operator(title, lambda _, x, f=f, d=dims: f(x, d), (x,))
        odd = fixed(13, 1000, 77, layout="transposed")
        for dims in ((0, 1), (0, 2), (1, 2), (1,), (2,)):
            title = f"{name} transposed {','.join(map(str, dims))}"
            yield Operator(title, lambda _, x, f=f, d=dims: f(x, d), (odd,))
        part = fixed(500, 600)
        yield Operator(f"{name} slice 0", lambda _, x, f=f: f(x[:, ::2], (0,)), (part,))
        yield Operator(f"{name} slice 1", lambda _, x, f=f: f(x[:, 3:], (1,)), (part,))
        yield Operator(f"{name} slice all", lambda _, x, f=f: f(x[:, 3:], (0, 1)), (part,))
        yield Operator(f"{name} expanded", lambda _, x, f=f: f(x.expand(1000, 5000), (0,)), (fixed(5000),))


def _others() -> Iterator[Operator]:
    big = fixed(3000, 1000)
    yield Operator("any", lambda _, x: x.any(), (mask(3000, 1000),))
    yield Operator("all dim 0", lambda _, x: x.all(0), (mask(3000, 1000),))
    yield Operator("sum of bool", lambda _, x: x.sum(), (mask(3000, 1000),))
    yield Operator("sum of bool dim 0", lambda _, x: x.sum(0), (mask(3000, 1000),))
    yield Operator("sum of numbers", lambda _, x: x.sum(), (numbers(3000, 1000),))
    yield Operator("max of numbers", lambda _, x: x.max(), (numbers(3000, 1000),))
    yield Operator("count_nonzero", lambda _, x: x.count_nonzero(), (mask(3000, 1000),))
    yield Operator("sum to float", lambda _, x: x.sum(0, dtype=torch.float32), (big,))
    yield Operator("mean to float", lambda _, x: x.mean(dtype=torch.float32), (big,))
    yield Operator("isnan any", lambda _, x: torch.isnan(x).any(), (big,))
    yield Operator("isfinite all", lambda _, x: torch.isfinite(x).all(), (big,))
    yield Operator("aminmax", lambda _, x: torch.aminmax(x), (big,))
    yield Operator("var_mean", lambda _, x: torch.var_mean(x, 0), (big,))
    yield Operator("std_mean backward", lambda _, x: torch.std_mean(x, 0), (floats(3000, 1000),))
    yield Operator("dist", lambda _, x, y: torch.dist(x, y), (floats(300, 1000), floats(300, 1000)))
    yield Operator("nansum", lambda _, x: torch.nansum(x), (big,))
    yield Operator("argmin dim 0", lambda _, x: torch.argmin(x, 0), (big,))
    yield Operator("median", lambda _, x: x.median(), (floats(300, 1000),))
    yield Operator("median dim", lambda _, x: x.median(1), (floats(300, 1000),))
    yield Operator("median dim 0", lambda _, x: x.median(0), (floats(300, 1000),))
    yield Operator("kthvalue", lambda _, x: x.kthvalue(5), (floats(300, 1000),))
    yield Operator("mode", lambda _, x: x.mode(), (floats(30, 100),))
    yield Operator("trace", lambda _, x: torch.trace(x), (floats(300, 300),))
    yield Operator("matrix_norm", lambda _, x: torch.linalg.matrix_norm(x), (floats(300, 300),))
