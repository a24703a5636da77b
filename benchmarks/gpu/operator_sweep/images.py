"""Pooling, resizing, padding, rearranging, joining and cutting."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F

from benchmarks.gpu.operator_sweep.case import Operator, floats, in_formats

_LAYOUTS = ("contiguous", "channels_last")


def operators() -> Iterator[Operator]:
    """Every case."""
    for layout in _LAYOUTS:
        yield from in_formats(list(_pooling(layout)), "fp32", "bf16")
        yield from in_formats(list(_resizing(layout)), "fp32", "bf16")
        yield from in_formats(list(_padding(layout)), "fp32")
    yield from in_formats(list(_other_pooling()), "fp32", "fp16")
    yield from in_formats(list(_rearranging()), "fp32", "bf16")
    yield from in_formats(list(_resizing("contiguous")), "fp16", autocast=True)


def _pooling(layout: str) -> Iterator[Operator]:
    kinds = {
        "max_pool2d": lambda x: F.max_pool2d(x, 2),
        "max_pool2d overlap": lambda x: F.max_pool2d(x, 3, 2, 1),
        "avg_pool2d": lambda x: F.avg_pool2d(x, 2),
        "adaptive_avg_pool2d 1": lambda x: F.adaptive_avg_pool2d(x, 1),
        "adaptive_avg_pool2d 7": lambda x: F.adaptive_avg_pool2d(x, 7),
        "adaptive_max_pool2d 7": lambda x: F.adaptive_max_pool2d(x, 7),
        "adaptive_max_pool2d 1": lambda x: F.adaptive_max_pool2d(x, 1),
    }
    for name, f in kinds.items():
        yield Operator(f"{name} {layout}", lambda _, x, f=f: f(x), (floats(8, 32, 28, 28, layout=layout),))


def _other_pooling() -> Iterator[Operator]:
    row, box = floats(8, 32, 200), floats(4, 8, 12, 12, 12)
    for name in ("max_pool", "avg_pool"):
        plain = {dims: getattr(F, f"{name}{dims}d") for dims in (1, 3)}
        yield Operator(f"{name}1d", lambda _, x, f=plain[1]: f(x, 2), (row,))
        yield Operator(f"{name}3d", lambda _, x, f=plain[3]: f(x, 2), (box,))
        adaptive = {dims: getattr(F, f"adaptive_{name}{dims}d") for dims in (1, 3)}
        yield Operator(f"adaptive_{name}1d", lambda _, x, f=adaptive[1]: f(x, 5), (row,))
        yield Operator(f"adaptive_{name}3d", lambda _, x, f=adaptive[3]: f(x, 3), (box,))
    yield Operator("lp_pool2d", lambda _, x: F.lp_pool2d(x, 2, 2), (floats(8, 32, 28, 28),))


def _resizing(layout: str) -> Iterator[Operator]:
    x = floats(8, 16, 28, 28, layout=layout)
    for mode in ("nearest", "nearest-exact", "bilinear", "bicubic", "area"):
        yield Operator(
            f"interpolate {mode} {layout}", lambda _, x, m=mode: F.interpolate(x, scale_factor=2, mode=m), (x,)
        )
    for mode in ("bilinear", "bicubic"):
        yield Operator(
            f"interpolate {mode} antialias {layout}",
            lambda _, x, m=mode: F.interpolate(x, size=(20, 20), mode=m, antialias=True),
            (x,),
        )
    if layout == "contiguous":
        yield Operator(
            "interpolate linear", lambda _, x: F.interpolate(x, size=99, mode="linear"), (floats(8, 16, 50),)
        )
        box = (floats(2, 8, 8, 8, 8),)
        yield Operator("interpolate trilinear", lambda _, x: F.interpolate(x, scale_factor=2, mode="trilinear"), box)
        grid = floats(8, 20, 20, 2)
        for mode in ("bilinear", "nearest", "bicubic"):
            yield Operator(
                f"grid_sample {mode}",
                lambda _, x, g, m=mode: F.grid_sample(x, g, mode=m, align_corners=False),
                (x, grid),
            )
        yield Operator(
            "affine_grid", lambda _, t: F.affine_grid(t, (8, 3, 20, 20), align_corners=False), (floats(8, 2, 3),)
        )


def _padding(layout: str) -> Iterator[Operator]:
    x = floats(8, 16, 28, 28, layout=layout)
    for mode in ("constant", "reflect", "replicate", "circular"):
        yield Operator(f"pad {mode} {layout}", lambda _, x, m=mode: F.pad(x, (1, 2, 3, 1), mode=m), (x,))
    yield Operator(f"pad crop {layout}", lambda _, x: F.pad(x, (-1, -1)), (x,))


def _rearranging() -> Iterator[Operator]:
    x, image = floats(64, 128, 256), floats(8, 16, 28, 28)
    yield Operator("pixel_shuffle", lambda _, x: F.pixel_shuffle(x, 2), (image,))
    yield Operator("pixel_unshuffle", lambda _, x: F.pixel_unshuffle(x, 2), (image,))
    yield Operator("channel_shuffle", lambda _, x: F.channel_shuffle(x, 4), (image,))
    yield Operator("unfold", lambda _, x: F.unfold(x, 3), (image,))
    yield Operator("fold", lambda _, x: F.fold(x, 28, 4, stride=4), (floats(8, 256, 49),))
    yield Operator("tensor unfold", lambda _, x: x.unfold(1, 16, 8), (x,))
    yield Operator("cat 0", lambda _, x, y: torch.cat([x, y]), (x, x))
    yield Operator("cat last", lambda _, x, y: torch.cat([x, y], -1), (x, floats(64, 128, 100)))
    yield Operator(
        "cat channels_last",
        lambda _, x, y: torch.cat([x, y], 1),
        (floats(8, 16, 28, 28, layout="channels_last"), floats(8, 24, 28, 28, layout="channels_last")),
    )
    yield Operator("cat many", lambda _, x: torch.cat([x[i] for i in range(64)]), (x,))
    yield Operator("stack", lambda _, x, y: torch.stack([x, y], 1), (x, x))
    yield Operator("split", lambda _, x: x.split(64, -1), (x,))
    yield Operator("chunk used", lambda _, x: [part * 2 for part in x.chunk(3, -1)], (floats(64, 128, 384),))
    yield Operator("unbind", lambda _, x: x.unbind(1)[:5], (x,))
    yield Operator("expand", lambda _, x: x.expand(64, 128, 256), (floats(128, 256),))
    yield Operator("expand used", lambda _, x: x.expand(64, 128, 256) * 2, (floats(128, 256),))
    yield Operator("repeat", lambda _, x: x.repeat(3, 1, 2), (x,))
    yield Operator("repeat_interleave", lambda _, x: x.repeat_interleave(3, 1), (x,))
    yield Operator("roll", lambda _, x: x.roll(3, 1), (x,))
    yield Operator("roll two", lambda _, x: x.roll((3, 2), (0, 1)), (x,))
    yield Operator("flip", lambda _, x: x.flip(1), (x,))
    yield Operator("tril", lambda _, x: x.tril(), (x,))
    yield Operator("triu", lambda _, x: x.triu(1), (x,))
    yield Operator("permute used", lambda _, x: x.permute(2, 0, 1) * 2, (x,))
    yield Operator("reshape copy", lambda _, x: x.transpose(1, 2).reshape(64, -1), (x,))
    yield Operator("movedim contiguous", lambda _, x: x.movedim(0, 1).contiguous(), (x,))
    yield Operator("meshgrid", lambda _, x, y: torch.meshgrid(x, y, indexing="ij"), (floats(100), floats(200)))
    yield Operator("cross", lambda _, x, y: torch.linalg.cross(x, y), (floats(500, 3), floats(500, 3)))
    yield Operator("kron", lambda _, x, y: torch.kron(x, y), (floats(20, 30), floats(10, 10)))
    yield Operator("renorm", lambda _, x: x.renorm(2, 0, 1.0), (floats(500, 100),))
