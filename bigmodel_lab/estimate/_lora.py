"""LoRA adapters, laid out as PEFT lays them out, without PEFT.

Hu et al. 2022, LoRA, section 4.1: beside a frozen linear layer stand two small matrices A and B whose product is added.
PEFT 0.17, ``tuners/lora/layer.py`` and ``tuners/lora/bnb.py``: they are in fp32 whatever the layer is in, the
input is cast to fp32 for them, and dropout lies before A. A model that PEFT itself has wrapped is a plain module
and needs nothing of this.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from bigmodel_lab.errors import ConfigError
from bigmodel_lab.estimate._quantized import EightBitLinear, FourBitLinear
from bigmodel_lab.i18n import text

ALL_LINEAR = "all-linear"
"""Every linear layer but the one of the output."""
_ADAPTER = "default"  # PEFT's name of an adapter that nobody named


@dataclass(frozen=True)
class Lora:
    """Which layers get adapters, and how large those are."""

    targets: tuple[str, ...] | str
    """Names or ends of names of layers, a regular expression for the whole name, or :data:`ALL_LINEAR`."""
    rank: int = 8
    """Rows of A and columns of B, from 1."""
    dropout: float = 0.0
    """Share of A's input that is dropped; 0 keeps the input for the backward pass without a second copy."""


class LoraLinear(nn.Module):
    """A frozen linear layer with an adapter beside it, with PEFT's names."""

    def __init__(self, base_layer: nn.Module, lora: Lora) -> None:
        super().__init__()
        self.base_layer = base_layer
        inputs, outputs, device = _sizes(base_layer)
        drop = nn.Dropout(lora.dropout) if lora.dropout > 0 else nn.Identity()
        self.lora_dropout = nn.ModuleDict({_ADAPTER: drop})
        self.lora_A = nn.ModuleDict({_ADAPTER: _adapter(inputs, lora.rank, device)})
        self.lora_B = nn.ModuleDict({_ADAPTER: _adapter(lora.rank, outputs, device)})
        self.scaling = 1.0  # its value costs nothing, the multiplication a tensor

    def forward(self, x: Tensor) -> Tensor:
        """Inputs (…, in) become outputs (…, out) of the base layer's type."""
        result: Tensor = self.base_layer(x)
        if isinstance(self.base_layer, (FourBitLinear, EightBitLinear)):
            return self._beside_quantized(x, result)
        return (result + self._adapted(x.to(torch.float32))).to(result.dtype)

    def _beside_quantized(self, x: Tensor, result: Tensor) -> Tensor:
        """A 4-bit layer's result is copied first; under autocast nothing is cast by hand."""
        if isinstance(self.base_layer, FourBitLinear):
            result = result.clone()
        if _autocast_is_on():
            return result + self._adapted(x)
        return result + self._adapted(x.to(torch.float32)).to(result.dtype)

    def _adapted(self, x: Tensor) -> Tensor:
        small: Tensor = self.lora_A[_ADAPTER](self.lora_dropout[_ADAPTER](x))  # (…, rank)
        adapted: Tensor = self.lora_B[_ADAPTER](small) * self.scaling
        return adapted


def add_lora(model: nn.Module, lora: Lora) -> tuple[str, ...]:
    """Freeze a model and put adapters beside some of its linear layers; only they learn.

    Args:
        model: Changed in place; its weights may be on the meta device, quantized or not.
        lora: Which layers, and how large the adapters are.

    Returns:
        Names of the layers that have an adapter now.

    Raises:
        ConfigError: The targets match no linear layer; lists the kinds that there are.

    >>> model = nn.Sequential(nn.Linear(64, 64), nn.Linear(64, 2))
    >>> add_lora(model, Lora(("0",), rank=4))
    ('0',)
    >>> [name for name, p in model.named_parameters() if p.requires_grad]
    ['0.lora_A.default.weight', '0.lora_B.default.weight']
    """
    linear = [name for name, layer in model.named_modules() if _takes_adapter(layer)]
    chosen = _chosen(model, linear, lora.targets)
    if not chosen:
        raise ConfigError(
            text(
                "error.lora_targets",
                "No linear layer matches the LoRA targets {targets}. Linear layers here end in: {ends}.",
                targets=lora.targets,
                ends=", ".join(sorted({name.rpartition(".")[2] for name in linear})) or "none",
            )
        )
    model.requires_grad_(requires_grad=False)
    for name in chosen:
        model.set_submodule(name, LoraLinear(model.get_submodule(name), lora))
    return tuple(chosen)


def lora_of(configuration: Any) -> Lora:
    """The adapters of a PEFT ``LoraConfig``.

    Args:
        configuration: A ``LoraConfig`` or anything with its fields ``r``, ``target_modules`` and ``lora_dropout``.

    Raises:
        ConfigError: It names no target modules, or asks for something that is not sized here, which is named.

    >>> from types import SimpleNamespace
    >>> lora_of(SimpleNamespace(r=16, target_modules=["q_proj", "v_proj"], lora_dropout=0.05))
    Lora(targets=('q_proj', 'v_proj'), rank=16, dropout=0.05)
    """
    asked = [name for name in _NOT_SIZED if getattr(configuration, name, None)]
    if getattr(configuration, "bias", "none") != "none":
        asked.append("bias")
    if asked:
        raise ConfigError(
            text(
                "error.lora_option",
                "LoRA with {options} is not sized. Leave it out, or give the model that PEFT has wrapped.",
                options=", ".join(asked),
            )
        )
    targets = getattr(configuration, "target_modules", None)
    if not targets:
        raise ConfigError(
            text("error.lora_no_targets", "The LoRA configuration names no target_modules. Name the layers to adapt.")
        )
    named = targets if isinstance(targets, str) else tuple(sorted(targets))
    return Lora(named, int(configuration.r), float(getattr(configuration, "lora_dropout", 0.0)))


_NOT_SIZED = (
    "use_dora",
    "modules_to_save",
    "rank_pattern",
    "layers_to_transform",
    "lora_bias",
    "exclude_modules",
    "target_parameters",
    "trainable_token_indices",
)
"""Fields of a LoraConfig that change the memory and are not followed."""


def _chosen(model: nn.Module, linear: Sequence[str], targets: tuple[str, ...] | str) -> list[str]:
    if targets == ALL_LINEAR:
        output_layer = getattr(model, "get_output_embeddings", None)
        output = None if output_layer is None else output_layer()
        return [name for name in linear if output is None or model.get_submodule(name) is not output]
    if isinstance(targets, str):
        return [name for name in linear if re.fullmatch(targets, name)]
    return [name for name in linear if any(name == t or name.endswith(f".{t}") for t in targets)]


def _takes_adapter(layer: nn.Module) -> bool:
    known = isinstance(layer, (nn.Linear, FourBitLinear, EightBitLinear))
    return known or (type(layer).__name__ == "Conv1D" and hasattr(layer, "nf"))


def _sizes(layer: nn.Module) -> tuple[int, int, torch.device]:
    """Features of input and output, and where the weight is."""
    weight = layer.get_parameter("weight")
    if isinstance(layer, (nn.Linear, FourBitLinear, EightBitLinear)):
        return layer.in_features, layer.out_features, weight.device
    inputs, outputs = weight.shape  # Conv1D of Transformers
    return inputs, outputs, weight.device


def _adapter(inputs: int, outputs: int, device: torch.device) -> nn.Linear:
    return nn.Linear(inputs, outputs, bias=False, device=device, dtype=torch.float32)


def _autocast_is_on() -> bool:
    """On CUDA, where PEFT looks, or on the CPU, whose fake tensors stand for those of CUDA in a trace."""
    return any(torch.is_autocast_enabled(kind) for kind in ("cuda", "cpu"))
