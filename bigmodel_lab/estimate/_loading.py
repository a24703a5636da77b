"""The peak while weights are loaded, on the card and on the host, by the way they are loaded.

Rules, not traces: bytes of the model, of the checkpoint and of their largest tensor are all they take. They leave
out what the interpreter and the CUDA context take by themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bigmodel_lab.errors import UnknownNameError
from bigmodel_lab.estimate._quantized import EightBitLinear, FourBitLinear
from bigmodel_lab.i18n import Text, text

_AT_ONCE = 4
"""Tensors that Transformers reads at the same time (``core_model_loading.py``: at most four threads)."""


@dataclass(frozen=True)
class LoadingPeak:
    """What loading takes at most."""

    card_bytes: int
    """Of tensors on the card."""
    host_bytes: int
    """Of this process's own memory on the host."""
    mapped_bytes: int
    """Of pages of the file that lie in the host's memory besides; the system drops them when it needs room."""
    rule: Text
    """Where the peak comes from, in a sentence."""


@dataclass(frozen=True)
class _Sizes:
    model: int
    checkpoint: int
    largest: int
    largest_unquantized: int


@dataclass(frozen=True)
class _Way:
    card: Callable[[_Sizes], int]
    host: Callable[[_Sizes], int]
    mapped: Callable[[_Sizes], int]
    rule: Text


def loading_peak(model: nn.Module, way: str, *, checkpoint_dtype: torch.dtype | None = None) -> LoadingPeak:
    """Peak of loading a checkpoint into a model that ends on the card.

    Args:
        model: As it will be on the card, on any device, the meta device included.
        way: ``"state_dict"``: ``load_state_dict(torch.load(path))`` on the host, then ``.to("cuda")``;
            ``"state_dict_mmap"``: the same with ``torch.load(mmap=True)`` and ``assign=True`` into a model on the meta
            device; ``"state_dict_cuda"``: with ``map_location="cuda"`` into a model on the card; ``"safetensors"``:
            ``load_state_dict(load_file(path))`` on the host, then ``.to("cuda")``; ``"from_pretrained"``: of Transformers,
            then ``.to("cuda")``; ``"from_pretrained_full"``: with ``low_cpu_mem_usage=False``, the default before
            Transformers 5; ``"device_map"``: ``from_pretrained(device_map="cuda")``.
        checkpoint_dtype: Number format in the file; None is that of the model.

    Raises:
        UnknownNameError: There is no such way; lists those that exist.

    >>> peak = loading_peak(nn.Linear(1000, 1000, bias=False), "state_dict")
    >>> peak.card_bytes, peak.host_bytes
    (4000000, 8000000)
    """
    if way not in _WAYS:
        raise UnknownNameError(text("loading.kind", "way to load"), way, _WAYS)
    rules, sizes = _WAYS[way], _sizes(model, checkpoint_dtype)
    return LoadingPeak(rules.card(sizes), rules.host(sizes), rules.mapped(sizes), rules.rule)


def _nothing(_: _Sizes) -> int:
    return 0


def _model(sizes: _Sizes) -> int:
    return sizes.model


def _checkpoint(sizes: _Sizes) -> int:
    return sizes.checkpoint


def _both(sizes: _Sizes) -> int:
    return sizes.model + sizes.checkpoint


def _being_read(sizes: _Sizes) -> int:
    return min(_AT_ONCE * sizes.largest, sizes.checkpoint)


_WAYS = {
    "state_dict": _Way(
        _model,
        _both,
        _nothing,
        Text("loading.state_dict", "The model and the checkpoint lie on the host together; the card gets the model."),
    ),
    "state_dict_mmap": _Way(
        _model,
        _nothing,
        _checkpoint,
        Text("loading.mmap", "The parameters are pages of the file; each is copied to the card by itself."),
    ),
    "state_dict_cuda": _Way(
        _both,
        lambda sizes: max(sizes.model, sizes.largest),
        _nothing,
        Text("loading.cuda", "The model and the checkpoint lie on the card together; the host built the model before."),
    ),
    "safetensors": _Way(
        _model,
        _model,
        _checkpoint,
        Text("loading.safetensors", "The host holds the model; the checkpoint is pages of the file."),
    ),
    "from_pretrained": _Way(
        _model,
        lambda sizes: sizes.model + _being_read(sizes),
        _checkpoint,
        Text("loading.from_pretrained", "The model is built without memory and filled from the file on the host."),
    ),
    "from_pretrained_full": _Way(
        _model,
        _both,
        _nothing,
        Text(
            "loading.full", "The model is built on the host with random weights, and the checkpoint is read beside it."
        ),
    ),
    "device_map": _Way(
        lambda sizes: sizes.model + sizes.largest_unquantized,
        _being_read,
        _checkpoint,
        Text("loading.device_map", "A few tensors at a time go from the file to the card, quantized there one by one."),
    ),
}
"""Sources: ``torch.load`` and ``Module.load_state_dict`` (docstrings of ``mmap`` and ``assign``); Accelerate's
guide "Loading big models into memory"; Transformers 5, ``modeling_utils.py`` and ``core_model_loading.py``: types are
changed on the host (a copy from host to card converts there, ``aten/src/ATen/native/cuda/Copy.cu``), quantization loads
one tensor after the other."""


def _sizes(model: nn.Module, checkpoint_dtype: torch.dtype | None) -> _Sizes:
    tensors = list({id(t): t for t in [*model.parameters(), *model.buffers()]}.values())
    stored = [_stored(tensor, checkpoint_dtype) for tensor in tensors]
    return _Sizes(
        model=sum(tensor.numel() * tensor.element_size() for tensor in tensors),
        checkpoint=sum(stored),
        largest=max(stored, default=0),
        largest_unquantized=max((_unquantized(layer) for layer in model.modules()), default=0),
    )


def _stored(tensor: Tensor, dtype: torch.dtype | None) -> int:
    """Bytes in the file; whole numbers are not converted."""
    written = dtype if dtype is not None and tensor.is_floating_point() else tensor.dtype
    return tensor.numel() * written.itemsize


def _unquantized(layer: nn.Module) -> int:
    """Bytes of a quantized layer's weight while it is on the card as it was."""
    if isinstance(layer, FourBitLinear):
        return layer.in_features * layer.out_features * layer.stored_dtype.itemsize
    if isinstance(layer, EightBitLinear):
        return layer.in_features * layer.out_features * torch.float16.itemsize
    return 0
