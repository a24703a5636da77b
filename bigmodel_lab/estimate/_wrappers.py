"""Shells that programs put around a model to train it on several cards: what is left of them on one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from bigmodel_lab.errors import ConfigError
from bigmodel_lab.i18n import text
from bigmodel_lab.memory.requests import Doubt
from bigmodel_lab.trace import uncompiled

_DISTRIBUTED = "torch.distributed"
_SHARDED = {"FullyShardedDataParallel", "FSDPModule"}


class Unwrapped(nn.Module):
    """A model that was wrapped in DistributedDataParallel, with the buckets in which its gradients are averaged.

    By reducer.cpp (``initialize_buckets``): flat tensors, as large as all gradients together, that live as long as the wrapper.

    >>> shell = Unwrapped(nn.Linear(2, 1, device="meta"))
    >>> [tuple(bucket.shape) for bucket in shell.buffers()], shell.module.weight.shape
    ([(3,)], torch.Size([1, 2]))
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module
        for dtype, numbers in _gradients(module).items():
            name = f"bucket_{str(dtype).removeprefix('torch.')}"
            self.register_buffer(name, torch.empty(numbers, dtype=dtype, device="meta"), persistent=False)

    def forward(self, *inputs: Any, **named: Any) -> Any:
        """As the model itself."""
        return self.module(*inputs, **named)

    def no_sync(self) -> nullcontext[None]:
        """Nothing is averaged here anyway."""
        return nullcontext()


class LocalBatchNorm(nn.modules.batchnorm._BatchNorm):  # noqa: SLF001 (the base that takes every number of dimensions)
    """SyncBatchNorm on one card: a batch normalization."""

    def _check_input_dim(self, x: Tensor) -> None:
        """Any."""


def unwrapped(model: nn.Module) -> nn.Module:
    """What was wrapped in DistributedDataParallel, compiled or not; any other model is that itself.

    Args:
        model: As a person has it.

    Raises:
        ConfigError: Its weights are cut into shards of several processes.
    """
    for module in model.modules():
        if _SHARDED & _classes(module) or any(
            type(weight).__name__ == "DTensor" for weight in module.parameters(recurse=False)
        ):
            raise ConfigError(
                text(
                    "error.estimate_sharded",
                    "The weights of {name} are cut into shards (FSDP or DTensor), and an estimate follows one whole model on one card. Give the "
                    "model as it was before fully_shard or FullyShardedDataParallel: what is estimated then is the most that one card needs.",
                    name=type(module).__name__,
                )
            )
    wrapper = uncompiled(model)
    inner = wrapper.module if "DistributedDataParallel" in _classes(wrapper) else model
    assert isinstance(inner, nn.Module)
    return inner


def on_one_card(copied: nn.Module) -> nn.Module:
    """A copy of a model, changed so that nothing in it asks for other cards or processes.

    Args:
        copied: Is changed.
    """
    for module in copied.modules():
        if isinstance(module, nn.SyncBatchNorm):
            module.__class__ = LocalBatchNorm  # type: ignore[assignment]
        if isinstance(module, nn.DataParallel):
            module.device_ids = []  # it then calls what it wraps
    return copied


def notes_on(model: nn.Module) -> Iterator[str]:
    """What is not followed of the shells that a model had.

    Args:
        model: As it is traced.
    """
    kinds = {type(module) for module in model.modules()}
    if Unwrapped in kinds:
        yield Doubt(
            text(
                "estimate.parallel",
                "The model is wrapped in DistributedDataParallel: the estimate is for one of its cards. Its gradient buckets are counted (among "
                "the weights; with gradient_as_bucket_view=True the gradients lie in them, so that less is needed); what NCCL takes is not.",
            )
        )
    if nn.DataParallel in kinds:
        yield Doubt(
            text(
                "estimate.data_parallel",
                "The model is wrapped in DataParallel: the estimate is for all samples on one card. On several, the first also holds the outputs "
                "of all, and each a copy of the weights.",
            )
        )
    if LocalBatchNorm in kinds:
        yield text(
            "estimate.sync_batch_norm",
            "SyncBatchNorm is sized as BatchNorm: what it exchanges with other cards is not counted.",
        )


def _classes(module: nn.Module) -> set[str]:
    """Names of torch's distributed classes that a module is of, without loading them."""
    return {
        kind.__name__
        for kind in type(module).__mro__
        if kind.__module__.startswith((_DISTRIBUTED, "torch.nn.parallel"))
    }


def _gradients(module: nn.Module) -> dict[torch.dtype, int]:
    """Numbers of all gradients by their type."""
    found: dict[torch.dtype, int] = {}
    for parameter in module.parameters():
        if parameter.requires_grad and not nn.parameter.is_lazy(parameter):
            found[parameter.dtype] = found.get(parameter.dtype, 0) + parameter.numel()
    return found
