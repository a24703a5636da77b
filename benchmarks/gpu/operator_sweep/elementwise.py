"""Activations, arithmetic with broadcasting, dropout, conversions and copies."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F

from benchmarks.gpu.operator_sweep.case import Operator, fixed, floats, in_formats, mask

_ACTIVATIONS = {
    "relu": F.relu,
    "relu in place": lambda x: (x * 1).relu_(),
    "gelu": F.gelu,
    "gelu tanh": lambda x: F.gelu(x, approximate="tanh"),
    "silu": F.silu,
    "leaky_relu": F.leaky_relu,
    "elu": F.elu,
    "celu": F.celu,
    "selu": F.selu,
    "softplus": F.softplus,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "logsigmoid": F.logsigmoid,
    "glu": F.glu,
    "mish": F.mish,
    "hardswish": F.hardswish,
    "hardsigmoid": F.hardsigmoid,
    "hardtanh": F.hardtanh,
    "relu6": F.relu6,
    "softsign": F.softsign,
    "hardshrink": F.hardshrink,
    "softshrink": F.softshrink,
    "tanhshrink": F.tanhshrink,
    "rrelu": lambda x: F.rrelu(x, training=True),
    "threshold": lambda x: F.threshold(x, 0.1, 0.0),
}
_POINTWISE = {
    name: getattr(torch, name)
    for name in [
        "exp",
        "log",
        "sqrt",
        "rsqrt",
        "sin",
        "cos",
        "abs",
        "neg",
        "reciprocal",
        "square",
        "erf",
        "log1p",
        "expm1",
        "sign",
        "floor",
        "round",
    ]
}
_DROPOUTS = {
    "dropout": lambda x: F.dropout(x, 0.1),
    "dropout half": lambda x: F.dropout(x, 0.5),
    "dropout all": lambda x: F.dropout(x, 1.0),
    "dropout eval": lambda x: F.dropout(x, 0.1, training=False),
    "dropout in place": lambda x: F.dropout(x * 1, 0.1, inplace=True),
    "alpha_dropout": lambda x: F.alpha_dropout(x, 0.1, training=True),
    "feature_dropout": lambda x: F.dropout1d(x, 0.1),
    "feature_alpha_dropout": lambda x: F.feature_alpha_dropout(x, 0.1, training=True),
}
_ONE = (floats(64, 128, 256),)


def operators() -> Iterator[Operator]:
    """Every case."""
    unary = [
        Operator(f"{name}", lambda _, x, f=f: f(x), _ONE)
        for name, f in {**_ACTIVATIONS, **_POINTWISE, **_DROPOUTS}.items()
    ]
    yield from in_formats(unary, "fp32", "bf16", "fp16")
    yield from in_formats(unary[:8], "bf16", autocast=True)
    yield from in_formats(_transposed(), "fp32", "bf16")
    yield from in_formats(_two(), "fp32", "bf16")
    yield from in_formats(_others(), "fp32", "fp16")
    yield from in_formats(_conversions(), "fp32", "bf16")


def _transposed() -> Iterator[Operator]:
    x = (floats(64, 128, 256, layout="transposed"),)
    for name in ("gelu", "silu", "relu", "softplus", "mish"):
        yield Operator(f"{name} transposed", lambda _, x, f=_ACTIVATIONS[name]: f(x), x)
    image = (floats(8, 32, 28, 28, layout="channels_last"),)
    for name in ("relu", "gelu", "hardswish"):
        yield Operator(f"{name} channels_last", lambda _, x, f=_ACTIVATIONS[name]: f(x), image)


def _two() -> Iterator[Operator]:
    x = floats(64, 128, 256)
    shapes = {
        "same": (64, 128, 256),
        "row": (256,),
        "column": (64, 128, 1),
        "middle": (64, 1, 256),
        "first": (128, 256),
        "single": (1,),
    }
    for shape_name, shape in shapes.items():
        for name in ("add", "mul", "div", "sub", "maximum", "pow"):
            f = getattr(torch, name)
            yield Operator(f"{name} by {shape_name}", lambda _, x, y, f=f: f(x, y), (x, floats(*shape)))
    yield Operator("add transposed", lambda _, x, y: x + y, (x, floats(64, 128, 256, layout="transposed")))
    yield Operator("add in place", lambda _, x, y: (x * 1).add_(y), (x, floats(256)))
    yield Operator("add number", lambda _, x: x + 1, (x,))
    yield Operator("mul number", lambda _, x: x * 2, (x,))
    yield Operator("pow 2", lambda _, x: x**2, (x,))
    yield Operator("pow 3", lambda _, x: x**3, (x,))
    yield Operator("pow half", lambda _, x: x**0.5, (x,))
    yield Operator("lerp", lambda _, x, y: torch.lerp(x, y, 0.5), (x, x))
    yield Operator("addcmul", lambda _, x, y, z: torch.addcmul(x, y, z), (x, x, x))
    yield Operator("atan2", lambda _, x, y: torch.atan2(x, y), (x, x))
    yield Operator("prelu", lambda _, x, w: F.prelu(x, w), (floats(64, 128, 256), floats(128)))
    yield Operator("prelu single", lambda _, x, w: F.prelu(x, w), (floats(64, 128, 256), floats(1)))


def _others() -> Iterator[Operator]:
    x, where = floats(64, 128, 256), mask(64, 128, 256)
    yield Operator("where", lambda _, c, x, y: torch.where(c, x, y), (where, x, x))
    yield Operator("where number", lambda _, c, x: torch.where(c, x, 0.0), (where, x))
    yield Operator("where row", lambda _, c, x, y: torch.where(c, x, y), (where, x, floats(256)))
    yield Operator("masked_fill", lambda _, x, c: x.masked_fill(c, float("-inf")), (x, where))
    yield Operator("masked_fill rows", lambda _, x, c: x.masked_fill(c, 0.0), (x, mask(128, 256)))
    yield Operator("masked_fill wider", lambda _, x, c: x.masked_fill(c, 0.0), (floats(128, 256), mask(4, 128, 256)))
    yield Operator("clamp", lambda _, x: x.clamp(-1, 1), (x,))
    yield Operator("clamp min tensor", lambda _, x, y: x.clamp(min=y), (x, floats(256)))
    yield Operator("comparison", lambda _, x: x > 0, (x,))
    yield Operator("logical", lambda _, x, y: x & y, (where, where))


def _conversions() -> Iterator[Operator]:
    x = floats(64, 128, 256)
    yield Operator("to half", lambda _, x: x.half(), (x,))
    yield Operator("to float", lambda _, x: x.float(), (x,))
    yield Operator("contiguous", lambda _, x: x.transpose(1, 2).contiguous(), (x,))
    yield Operator("clone", lambda _, x: x.clone(), (x,))
    yield Operator("bool to float", lambda _, x: x.float(), (mask(64, 128, 256),))
    yield Operator(
        "to channels_last", lambda _, x: x.contiguous(memory_format=torch.channels_last), (floats(8, 16, 28, 28),)
    )
    yield Operator("fixed add", lambda _, x, y: x + y, (fixed(64, 128, 256), floats(256)))
    yield Operator("zeros_like", lambda _, x: torch.zeros_like(x), (x,))
    yield Operator("arange", lambda _, x: x + torch.arange(256, device=x.device), (x,))
