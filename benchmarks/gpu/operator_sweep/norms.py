"""Norms, softmax and losses."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.gpu.operator_sweep.case import Operator, fixed, floats, in_formats, mask, numbers


def operators() -> Iterator[Operator]:
    """Every case."""
    for cases in (_layer_norms, _batch_norms, _softmaxes):
        yield from in_formats(list(cases()), "fp32", "bf16", "fp16")
        yield from in_formats(list(cases()), "fp16", autocast=True)
    yield from in_formats(list(_losses()), "fp32", "bf16")
    yield from in_formats(list(_losses()), "fp16", autocast=True)


def _layer_norms() -> Iterator[Operator]:
    for rows, width in ((16, 64), (512, 256), (4096, 768), (8192, 1024), (64, 4096), (20_000, 96)):
        yield _module(f"layer_norm {rows} {width}", lambda n=width: nn.LayerNorm(n), rows, width)
        yield _module(f"rms_norm {rows} {width}", lambda n=width: nn.RMSNorm(n), rows, width)
    yield _module("layer_norm plain", lambda: nn.LayerNorm(256, elementwise_affine=False), 512, 256)
    yield _module("layer_norm without bias", lambda: nn.LayerNorm(256, bias=False), 512, 256)
    yield _module("layer_norm without bias large", lambda: nn.LayerNorm(768, bias=False), 4096, 768)
    yield _module("layer_norm 3d", lambda: nn.LayerNorm(256), 8, 64, 256)
    yield _module("layer_norm two dimensions", lambda: nn.LayerNorm([64, 256]), 8, 64, 256)
    yield _module("layer_norm transposed", lambda: nn.LayerNorm(256), 8, 64, 256, layout="transposed")
    yield _module("rms_norm plain", lambda: nn.RMSNorm(256, elementwise_affine=False), 512, 256)
    yield _module("group_norm", lambda: nn.GroupNorm(8, 64), 8, 64, 28, 28)
    yield _module("group_norm large", lambda: nn.GroupNorm(32, 256), 32, 256, 28, 28)
    yield _module("group_norm channels_last", lambda: nn.GroupNorm(8, 64), 8, 64, 28, 28, layout="channels_last")
    yield _module("group_norm 1d", lambda: nn.GroupNorm(8, 64), 512, 64)
    yield _module("instance_norm", lambda: nn.InstanceNorm2d(64), 8, 64, 28, 28)
    yield _module("instance_norm affine", lambda: nn.InstanceNorm2d(64, affine=True), 8, 64, 28, 28)
    yield _module(
        "instance_norm running", lambda: nn.InstanceNorm2d(64, True, True, track_running_stats=True), 8, 64, 28, 28
    )
    yield _module("normalize", lambda: _Call(lambda x: F.normalize(x, dim=-1)), 512, 256)
    yield _module("local_response_norm", lambda: nn.LocalResponseNorm(5), 8, 64, 28, 28)


def _batch_norms() -> Iterator[Operator]:
    for layout in ("contiguous", "channels_last"):
        for batch, side in ((8, 28), (64, 56)):
            yield _module(
                f"batch_norm {layout} {side}", lambda: nn.BatchNorm2d(64), batch, 64, side, side, layout=layout
            )
        yield _module(f"batch_norm eval {layout}", lambda: nn.BatchNorm2d(64).eval(), 8, 64, 28, 28, layout=layout)
        yield _module(
            f"batch_norm plain {layout}", lambda: nn.BatchNorm2d(64, affine=False), 8, 64, 28, 28, layout=layout
        )
    yield _module("batch_norm 1d", lambda: nn.BatchNorm1d(256), 512, 256)
    yield _module("batch_norm 1d long", lambda: nn.BatchNorm1d(256), 16, 256, 100)
    yield _module("batch_norm 3d", lambda: nn.BatchNorm3d(16), 4, 16, 8, 14, 14)
    yield _module("batch_norm 1d eval", lambda: nn.BatchNorm1d(256).eval(), 512, 256)


def _softmaxes() -> Iterator[Operator]:
    sizes = ((64, 128, 256), (512, 1000), (128, 5000), (16, 50_000), (4096, 32))
    for shape in sizes:
        name = " ".join(map(str, shape))
        yield Operator(f"log_softmax {name}", lambda _, x: F.log_softmax(x, -1), (floats(*shape),))
        yield Operator(f"softmax {name}", lambda _, x: F.softmax(x, -1), (floats(*shape),))
    yield Operator("softmax dim 1", lambda _, x: F.softmax(x, 1), (floats(64, 128, 256),))
    yield Operator("log_softmax dim 1", lambda _, x: F.log_softmax(x, 1), (floats(64, 128, 256),))
    yield Operator("softmax transposed", lambda _, x: F.softmax(x, -1), (floats(64, 128, 256, layout="transposed"),))
    yield Operator("softmax to fp32", lambda _, x: F.softmax(x, -1, dtype=torch.float32), (floats(64, 128, 256),))
    yield Operator(
        "log_softmax to fp32", lambda _, x: F.log_softmax(x, -1, dtype=torch.float32), (floats(64, 128, 256),)
    )
    yield Operator("logsumexp", lambda _, x: torch.logsumexp(x, -1), (floats(512, 1000),))
    yield Operator("logsumexp dim 0", lambda _, x: torch.logsumexp(x, 0), (floats(5000, 100),))
    yield Operator("logcumsumexp", lambda _, x: torch.logcumsumexp(x, -1), (floats(512, 1000),))
    yield Operator("softmin", lambda _, x: F.softmin(x, -1), (floats(512, 1000),))
    yield Operator("gumbel_softmax", lambda _, x: F.gumbel_softmax(x, dim=-1), (floats(512, 1000),))
    yield Operator(
        "softmax masked",
        lambda _, x, m: F.softmax(x.masked_fill(m, float("-inf")), -1),
        (floats(64, 128, 256), mask(128, 256)),
    )


def _losses() -> Iterator[Operator]:
    scores, labels = floats(4096, 1000), numbers(4096)
    for reduction in ("mean", "sum", "none"):
        yield _loss(f"cross_entropy {reduction}", F.cross_entropy, scores, labels, reduction=reduction)
        for name in ("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss", "binary_cross_entropy_with_logits"):
            yield _loss(
                f"{name} {reduction}", getattr(F, name), floats(512, 1000), fixed(512, 1000), reduction=reduction
            )
    yield _loss("cross_entropy smooth", F.cross_entropy, scores, labels, label_smoothing=0.1)
    yield _loss("cross_entropy 2d", F.cross_entropy, floats(8, 21, 64, 64), numbers(8, 64, 64))
    yield _loss("cross_entropy soft", F.cross_entropy, scores, fixed(4096, 1000))
    yield _loss("cross_entropy tiny", F.cross_entropy, floats(32, 10), numbers(32))
    yield _loss("nll_loss", F.nll_loss, scores, labels)
    yield Operator(
        "cross_entropy weights",
        lambda _, x, y, w: F.cross_entropy(x, y, w),
        (scores, labels, fixed(1000)),
    )
    yield _loss("mse_loss transposed", F.mse_loss, floats(512, 1000), fixed(512, 1000, layout="transposed"))
    yield _loss("mse_loss both", F.mse_loss, floats(512, 1000), floats(512, 1000))
    yield _loss("kl_div", F.kl_div, floats(512, 1000), fixed(512, 1000), reduction="batchmean")
    yield _loss("kl_div log", F.kl_div, floats(512, 1000), fixed(512, 1000), reduction="batchmean", log_target=True)
    yield _loss("gaussian_nll", _gaussian, floats(512, 100), fixed(512, 100))
    yield _loss("poisson_nll", F.poisson_nll_loss, floats(512, 100), fixed(512, 100))
    yield _loss("soft_margin_loss", F.soft_margin_loss, floats(512, 100), fixed(512, 100))
    yield _loss("hinge_embedding_loss", F.hinge_embedding_loss, floats(512, 100), fixed(512, 100))
    yield _loss("multi_margin_loss", F.multi_margin_loss, floats(512, 100), numbers(512))
    yield Operator(
        "triplet_margin_loss",
        lambda _, a, p, n: F.triplet_margin_loss(a, p, n),
        (floats(512, 128), floats(512, 128), floats(512, 128)),
    )
    yield Operator(
        "cosine_embedding_loss",
        lambda _, a, b, y: F.cosine_embedding_loss(a, b, y),
        (floats(512, 128), floats(512, 128), fixed(512)),
    )
    yield Operator(
        "margin_ranking_loss",
        lambda _, a, b, y: F.margin_ranking_loss(a, b, y),
        (floats(512), floats(512), fixed(512)),
    )


def _gaussian(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return F.gaussian_nll_loss(x, y, y.abs() + 1)


class _Call(nn.Module):
    """A module around a function."""

    def __init__(self, function: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self._function = function

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The function."""
        return self._function(x)


def _module(name: str, make: Callable[[], nn.Module], *shape: int, layout: str = "contiguous") -> Operator:
    return Operator(name, lambda model, x: model(x), (floats(*shape, layout=layout),), make)


def _loss(name: str, function: Callable[..., torch.Tensor], *tensors: object, **options: object) -> Operator:
    return Operator(name, lambda _, *given: function(*given, **options), tensors)  # type: ignore[arg-type]
