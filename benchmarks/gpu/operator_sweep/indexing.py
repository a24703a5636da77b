"""Embeddings, reading and writing by index, sorting, running sums."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F

from benchmarks.gpu.operator_sweep.case import Operator, Spec, fixed, floats, in_formats, numbers


def operators() -> Iterator[Operator]:
    """Every case."""
    embeddings = list(_embeddings())
    yield from in_formats(embeddings, "fp32", "fp16")
    yield from in_formats([case for case in embeddings if "bag max" not in case.name], "bf16")
    yield from in_formats(list(_by_index()), "fp32", "bf16")
    yield from in_formats(list(_sorting()), "fp32", "bf16")
    yield from in_formats(list(_running()), "fp32", "bf16", "fp16")


def _embeddings() -> Iterator[Operator]:
    for tokens, words in ((64, 1000), (3072, 1000), (3073, 1000), (8192, 1000), (8192, 50_000), (100_000, 30_000)):
        name = f"embedding {tokens} {words}"
        yield Operator(name, lambda _, w, i: F.embedding(i, w), (floats(words, 64), numbers(tokens)))
    yield Operator("embedding padding", lambda _, w, i: F.embedding(i, w, 0), (floats(1000, 64), numbers(16, 256)))
    yield Operator(
        "embedding by frequency",
        lambda _, w, i: F.embedding(i, w, scale_grad_by_freq=True),
        (floats(1000, 64), numbers(16, 256)),
    )
    short = Spec((16, 256), torch.int32, needs_grad=False)
    yield Operator("embedding int32", lambda _, w, i: F.embedding(i, w), (floats(1000, 64), short))
    for mode in ("sum", "mean", "max"):
        for bags, each in ((16, 20), (512, 50)):
            yield Operator(
                f"embedding_bag {mode} {bags}",
                lambda _, w, i, m=mode: F.embedding_bag(i, w, mode=m),
                (floats(1000, 64), numbers(bags, each)),
            )
    yield Operator("one_hot", lambda _, i: F.one_hot(i, 100), (numbers(64, 128),))


def _by_index() -> Iterator[Operator]:
    x = floats(500, 600)
    yield Operator("gather 1", lambda _, x, i: x.gather(1, i), (x, numbers(500, 100)))
    yield Operator("gather 0", lambda _, x, i: x.gather(0, i), (x, numbers(100, 600)))
    yield Operator("gather single", lambda _, x, i: x.gather(1, i), (x, numbers(500, 1)))
    yield Operator("take_along_dim", lambda _, x, i: torch.take_along_dim(x, i, 1), (x, numbers(500, 100)))
    yield Operator("scatter", lambda _, x, i, y: x.scatter(1, i, y), (x, numbers(500, 100), floats(500, 100)))
    yield Operator("scatter number", lambda _, x, i: x.scatter(1, i, 1.0), (x, numbers(500, 100)))
    yield Operator("scatter_add", lambda _, x, i, y: x.scatter_add(0, i, y), (x, numbers(400, 600), floats(400, 600)))
    yield Operator(
        "scatter_reduce", lambda _, x, i, y: x.scatter_reduce(0, i, y, "mean"), (x, numbers(400, 600), floats(400, 600))
    )
    for count in (100, 5000):
        yield Operator(f"index_select 0 {count}", lambda _, x, i: x.index_select(0, i), (x, numbers(count)))
        yield Operator(f"index_select 1 {count}", lambda _, x, i: x.index_select(1, i), (x, numbers(count)))
        yield Operator(f"index {count}", lambda _, x, i: x[i], (x, numbers(count)))
        yield Operator(f"index pairs {count}", lambda _, x, i, j: x[i, j], (x, numbers(count), numbers(count)))
        yield Operator(f"index column {count}", lambda _, x, i: x[:, i], (x, numbers(count)))
        yield Operator(
            f"index_add {count}", lambda _, x, i, y: x.index_add(0, i, y), (x, numbers(count), floats(count, 600))
        )
        yield Operator(
            f"index_put {count}",
            lambda _, x, i, y: x.index_put((i,), y),
            (x, numbers(count), floats(count, 600)),
        )
        yield Operator(
            f"index_put accumulate {count}",
            lambda _, x, i, y: x.index_put((i,), y, accumulate=True),
            (x, numbers(count), floats(count, 600)),
        )
    yield Operator("index_copy", lambda _, x, i, y: x.index_copy(0, i, y), (x, numbers(100), floats(100, 600)))
    yield Operator("index_fill", lambda _, x, i: x.index_fill(0, i, 0.0), (x, numbers(100)))
    yield Operator("index twice", lambda _, x, i: x[i] + x[i], (x, numbers(100)))
    yield Operator("select", lambda _, x: x[3], (x,))
    yield Operator("slice", lambda _, x: x[:, 10:50], (x,))
    yield Operator("slice twice", lambda _, x: (x[:, 10:50], x[:, 50:]), (x,))
    yield Operator("put slice", lambda _, x, y: _put(x * 1, y), (x, floats(500, 100)))
    yield Operator("take", lambda _, x, i: torch.take(x, i), (x, numbers(1000)))
    yield Operator("diagonal", lambda _, x: torch.diagonal(x), (x,))
    yield Operator("searchsorted", lambda _, x, y: torch.searchsorted(x, y), (fixed(500, 600), fixed(500, 20)))
    yield Operator("bucketize", lambda _, x, y: torch.bucketize(x, y), (fixed(500, 600), fixed(20)))
    yield Operator("used twice", lambda _, x: (x * 2, x * 3), (x,))
    yield Operator("used thrice", lambda _, x: (x * 2, x * 3, x.exp()), (x,))
    yield Operator("used by add", lambda _, x: (x + 1, x + 2), (x,))


def _put(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    x[:, :100] = y
    return x


def _sorting() -> Iterator[Operator]:
    for shape in ((500, 600), (64, 5000), (1_000_000,), (4, 100_000), (20_000, 100)):
        x, title = floats(*shape), "x".join(map(str, shape))
        yield Operator(f"sort {title}", lambda _, x: x.sort(-1), (x,))
        yield Operator(f"sort stable {title}", lambda _, x: x.sort(dim=-1, stable=True), (x,))
        yield Operator(f"argsort {title}", lambda _, x: x.argsort(-1), (fixed(*shape),))
        yield Operator(f"sort numbers {title}", lambda _, x: x.sort(-1), (numbers(*shape),))
        yield Operator(f"topk {title}", lambda _, x: x.topk(5), (x,))
        yield Operator(f"topk wide {title}", lambda _, x: x.topk(50), (x,))
    yield Operator("sort dim 0", lambda _, x: x.sort(0), (floats(500, 600),))
    yield Operator("topk dim 0", lambda _, x: x.topk(5, 0), (floats(500, 600),))
    yield Operator("multinomial", lambda _, x: torch.multinomial(x, 5), (fixed(500, 600),))
    yield Operator("multinomial one", lambda _, x: torch.multinomial(x, 1), (fixed(500, 600),))
    yield Operator("multinomial again", lambda _, x: torch.multinomial(x, 5, replacement=True), (fixed(500, 600),))
    yield Operator("randperm", lambda _, x: torch.randperm(30_000, device=x.device), (fixed(1),))
    yield Operator("randperm long", lambda _, x: torch.randperm(300_000, device=x.device), (fixed(1),))
    yield Operator("bernoulli", lambda _, x: torch.bernoulli(x), (fixed(500, 600),))
    yield Operator("rand_like", lambda _, x: torch.rand_like(x), (fixed(500, 600),))
    yield Operator("randn", lambda _, x: torch.randn(500, 600, device=x.device), (fixed(1),))
    yield Operator("randint", lambda _, x: torch.randint(0, 5, (500, 600), device=x.device), (fixed(1),))


def _running() -> Iterator[Operator]:
    for name in ("cumsum", "cumprod"):
        f = getattr(torch, name)
        for shape in ((500, 600), (1_000_000,), (1, 1_000_000)):
            title = "x".join(map(str, shape))
            yield Operator(f"{name} {title}", lambda _, x, f=f: f(x, -1), (floats(*shape),))
        yield Operator(f"{name} dim 0", lambda _, x, f=f: f(x, 0), (floats(500, 600),))
    yield Operator("cummax", lambda _, x: x.cummax(-1), (floats(500, 600),))
    yield Operator("cumsum numbers", lambda _, x: x.cumsum(-1), (numbers(500, 600),))
    yield Operator("cumsum numbers flat", lambda _, x: x.cumsum(-1), (numbers(100_000),))
    yield Operator("diff", lambda _, x: x.diff(), (floats(500, 600),))
