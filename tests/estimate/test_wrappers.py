"""Models in shells and without shapes."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, distributed, nn
from torch.nn import functional as F

from bigmodel_lab.errors import ConfigError, TraceError
from bigmodel_lab.estimate import MemoryEstimate, estimate_memory

X, Y = torch.ones(64, 128), torch.zeros(64, dtype=torch.long)


def layers() -> nn.Module:
    """Two."""
    return nn.Sequential(nn.Linear(128, 256), nn.BatchNorm1d(256), nn.Linear(256, 4))


def estimate(model: nn.Module) -> MemoryEstimate:
    """Of a classification."""
    return estimate_memory(model, (X, Y), loss=F.cross_entropy, optimizer="sgd")


@pytest.fixture
def alone() -> Iterator[None]:
    """A group of one process."""
    distributed.init_process_group("gloo", store=distributed.HashStore(), rank=0, world_size=1)
    try:
        yield
    finally:
        distributed.destroy_process_group()


@pytest.mark.usefixtures("alone")
def test_the_buckets_of_parallel_training_are_as_large_as_its_gradients() -> None:
    """They live as long as the wrapper; the model's own step takes what it takes without."""
    model = layers()
    weights = sum(p.numel() * 4 for p in model.parameters())
    wrapped, plain = estimate(nn.parallel.DistributedDataParallel(model)), estimate(model)

    assert wrapped.peak_allocated_bytes - plain.peak_allocated_bytes == pytest.approx(weights, abs=1024)
    assert any("buckets" in note for note in wrapped.notes)


@pytest.mark.usefixtures("alone")
def test_a_step_may_reach_through_the_wrapper() -> None:
    """As programs do that call a method of their model."""
    model = nn.parallel.DistributedDataParallel(layers())

    assert estimate_memory(model, X, step=lambda m, x: m.module[0](x).mean()).peak_allocated_bytes > 0


@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize("named", ["wrapper", "inside"])
def test_a_step_that_names_its_model_by_itself_means_the_traced_one(named: str) -> None:
    """Nothing is counted twice, and the user's own weights get no gradients."""
    wrapper = nn.parallel.DistributedDataParallel(layers())
    mine = wrapper if named == "wrapper" else wrapper.module
    by_name = estimate_memory(wrapper, X, step=lambda _, x: mine(x).mean(), optimizer="sgd")
    by_argument = estimate_memory(wrapper, X, step=lambda m, x: m(x).mean(), optimizer="sgd")

    assert by_name.peak_allocated_bytes == by_argument.peak_allocated_bytes
    assert all(p.grad is None for p in wrapper.parameters())


@pytest.mark.usefixtures("alone")
def test_a_wrapper_that_was_compiled_keeps_its_buckets() -> None:
    """And both are said."""
    wrapper = nn.parallel.DistributedDataParallel(layers())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of the compiler's own imports
        compiled = estimate(torch.compile(wrapper))  # type: ignore[arg-type]

    assert compiled.peak_allocated_bytes == estimate(wrapper).peak_allocated_bytes
    assert [any(word in note for note in compiled.notes) for word in ("buckets", "compiled")] == [True, True]


@pytest.mark.usefixtures("alone")
def test_shards_are_refused_with_a_way_around() -> None:
    """The model before it was cut."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    model = layers()
    fully_shard(model, mesh=init_device_mesh("cpu", (1,)))
    with pytest.raises(ConfigError, match="before fully_shard"):
        estimate(model)


@pytest.mark.parametrize(
    ("wrap", "said"), [(nn.DataParallel, "DataParallel"), (nn.SyncBatchNorm.convert_sync_batchnorm, "SyncBatchNorm")]
)
def test_what_is_the_same_on_one_card_takes_the_same(wrap: type[nn.Module], said: str) -> None:
    """And a note says what is not counted."""
    made = estimate(wrap(layers()))

    assert made.peak_allocated_bytes == estimate(layers()).peak_allocated_bytes
    assert any(said in note for note in made.notes)


def test_lazy_layers_get_the_shapes_of_the_batch() -> None:
    """On a copy: the user's own model still has none."""
    lazy = nn.Sequential(nn.LazyLinear(256), nn.LazyBatchNorm1d(), nn.LazyLinear(4))

    assert estimate(lazy).peak_allocated_bytes == estimate(layers()).peak_allocated_bytes
    assert all(nn.parameter.is_lazy(p) for p in lazy.parameters())


def test_lazy_layers_that_a_step_names_by_itself_stay_lazy() -> None:
    """The copy is what sees the batch."""
    lazy = nn.Sequential(nn.LazyLinear(256), nn.LazyBatchNorm1d(), nn.LazyLinear(4))
    by_name = estimate_memory(lazy, X, step=lambda _, x: lazy(x).mean(), optimizer="sgd")
    by_argument = estimate_memory(lazy, X, step=lambda m, x: m(x).mean(), optimizer="sgd")

    assert by_name.peak_allocated_bytes == by_argument.peak_allocated_bytes
    assert all(nn.parameter.is_lazy(p) for p in lazy.parameters())


def test_lazy_layers_that_the_batch_does_not_reach_are_refused() -> None:
    """With what to do."""
    lazy = nn.ModuleList([nn.Linear(128, 4), nn.LazyLinear(4)])

    def step(model: nn.Module, x: Tensor) -> Tensor:
        found: Tensor = model.get_submodule("0")(x).mean()
        return found

    with pytest.raises(TraceError, match="real batch"):
        estimate_memory(lazy, X, step=step)
