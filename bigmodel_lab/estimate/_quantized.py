"""Weights in 4 and 8 bits, by the size rules of bitsandbytes, without bitsandbytes.

The layers here hold tensors of the right sizes, make the temporary tensors that bitsandbytes makes, and keep
for the backward pass what it keeps. What they compute has no meaning. The rules are those of
bitsandbytes 0.50: ``nn/modules.py``, ``autograd/_functions.py``, ``functional.py`` and ``backends/cuda/ops.py``;
which layers are replaced is the rule of Transformers, ``integrations/bitsandbytes.py`` and ``quantizers/base.py``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bigmodel_lab.errors import ConfigError, UnknownNameError
from bigmodel_lab.i18n import text

_NESTED_BLOCK = 256
_FUSED_ROWS = 4
_OUTLIER_SHARE = 0.001


@dataclass(frozen=True)
class FourBit:
    """Weights in 4 bits, nf4 or fp4: both take the same memory.

    Dettmers et al. 2023, QLoRA, section 3: half a byte a weight, and for each block of 64 weights their largest
    absolute value, in fp32, or in 8 bits where that is quantized once more ("double quantization").
    """

    double_quantization: bool = False
    """``bnb_4bit_use_double_quant``."""
    compute_dtype: torch.dtype = torch.float32
    """``bnb_4bit_compute_dtype``: what weights and inputs are multiplied in; Transformers has fp32 by default."""
    block_size: int = 64
    """Weights that share one absolute value."""
    skip: tuple[str, ...] | None = None
    """Names, or ends of names, of layers that stay as they are; None leaves out what Transformers leaves out."""

    def stored_bytes(self, elements: int) -> int:
        """Bytes of a weight with all that belongs to it.

        >>> FourBit().stored_bytes(4096 * 4096), FourBit(double_quantization=True).stored_bytes(4096 * 4096)
        (9437248, 8655940)
        """
        blocks = -(-elements // self.block_size)
        packed = -(-elements // 2) + 16 * 4  # two a byte; the 16 values that 4 bits stand for, in fp32
        if not self.double_quantization:
            return packed + 4 * blocks
        return packed + blocks + 4 * -(-blocks // _NESTED_BLOCK) + 256 * 4 + 4  # 8-bit values, their code and mean

    def replacement(self, layer: nn.Module) -> nn.Module:
        """A layer of the same shape whose weight is stored so."""
        return FourBitLinear(layer, self)


@dataclass(frozen=True)
class EightBit:
    """Weights in 8 bits, one scale a row; columns of the input with large values are multiplied in 16 bits.

    Dettmers et al. 2022, LLM.int8(), section 3. How many columns those are depends on the data; they are taken to be
    one in a thousand, since by that paper more than 99.9 % of values are multiplied in 8 bits.
    """

    threshold: float = 6.0
    """``llm_int8_threshold``: from which absolute value on an input counts as large; 0 multiplies all in 8 bits."""
    skip: tuple[str, ...] | None = None
    """As for :class:`FourBit`."""

    def stored_bytes(self, rows: int, columns: int) -> int:
        """Bytes of a weight with all that belongs to it.

        >>> EightBit().stored_bytes(4096, 4096)
        16793600
        """
        return rows * columns + 4 * rows

    def outliers(self, columns: int) -> int:
        """Columns of the input that are multiplied in 16 bits."""
        return math.ceil(columns * _OUTLIER_SHARE) if self.threshold > 0 else 0

    def replacement(self, layer: nn.Module) -> nn.Module:
        """A layer of the same shape whose weight is stored so."""
        return EightBitLinear(layer, self)


Quantization: TypeAlias = FourBit | EightBit
"""How linear layers store their weights."""


class FourBitLinear(nn.Module):
    """Stands for ``bitsandbytes.nn.Linear4bit``: its stored tensors are a weight in 4 bits and what belongs to it."""

    absmax: Tensor

    def __init__(self, layer: nn.Module, scheme: FourBit) -> None:
        super().__init__()
        self.in_features, self.out_features = _shape(layer)
        self.compute_dtype, self.stored_dtype = scheme.compute_dtype, _weight(layer).dtype
        elements = self.in_features * self.out_features
        blocks = -(-elements // scheme.block_size)
        new = _like(_weight(layer))
        self.weight = nn.Parameter(new((-(-elements // 2), 1), torch.uint8), requires_grad=False)
        self.register_buffer("quant_map", new((16,), torch.float32))
        self.nested = scheme.double_quantization
        self.register_buffer("absmax", new((blocks,), torch.uint8 if self.nested else torch.float32))
        if self.nested:
            self.register_buffer("nested_absmax", new((-(-blocks // _NESTED_BLOCK),), torch.float32))
            self.register_buffer("nested_quant_map", new((256,), torch.float32))
            self.register_buffer("offset", new((), torch.float32))
        self.bias = _frozen_bias(layer, scheme.compute_dtype)

    def forward(self, x: Tensor) -> Tensor:
        """Inputs (…, in_features) become outputs (…, out_features) of the same type."""
        output: Tensor = _FourBitProduct.apply(x.to(self.compute_dtype), self)  # type: ignore[no-untyped-call]
        return output.to(x.dtype)

    def multiply(self, x: Tensor) -> Tensor:
        """The product: a fused kernel for a few rows, otherwise the whole weight is restored first."""
        if x.numel() // x.shape[-1] <= _FUSED_ROWS:
            return x.new_empty((*x.shape[:-1], self.out_features))
        statistics = self._statistics(copies=2)
        restored = self.weight.new_empty((self.out_features, self.in_features), dtype=x.dtype)
        del statistics
        return F.linear(x, restored, self.bias)

    def restored(self, dtype: torch.dtype) -> Tensor:
        """The weight for the backward pass: in the type that it was quantized from, then in the one asked for."""
        statistics = self._statistics(copies=1)
        weight = self.weight.new_empty((self.out_features, self.in_features), dtype=self.stored_dtype)
        del statistics
        return weight.to(dtype)

    def _statistics(self, copies: int) -> list[Tensor]:
        """The absolute values in fp32, where they are stored in 8 bits."""
        return [torch.empty_like(self.absmax, dtype=torch.float32) for _ in range(copies)] if self.nested else []


class _FourBitProduct(torch.autograd.Function):
    """Keeps nothing but the stored weight, as ``MatMul4Bit`` does: the weight is restored once more in backward."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, layer: FourBitLinear) -> Tensor:
        ctx.layer = layer
        return layer.multiply(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (gradient,) = gradients
        return torch.matmul(gradient, ctx.layer.restored(gradient.dtype)), None


class EightBitLinear(nn.Module):
    """Stands for ``bitsandbytes.nn.Linear8bitLt`` with ``has_fp16_weights=False``."""

    scales: Tensor

    def __init__(self, layer: nn.Module, scheme: EightBit) -> None:
        super().__init__()
        self.in_features, self.out_features = _shape(layer)
        new = _like(_weight(layer))
        self.weight = nn.Parameter(new((self.out_features, self.in_features), torch.int8), requires_grad=False)
        self.register_buffer("scales", new((self.out_features,), torch.float32))
        self.outliers, self.splits = scheme.outliers(self.in_features), scheme.threshold > 0
        self.bias = _frozen_bias(layer, None)

    def forward(self, x: Tensor) -> Tensor:
        """Inputs (…, in_features) become outputs (…, out_features) of the same type."""
        rows = x.reshape(-1, self.in_features)
        output: Tensor = _EightBitProduct.apply(rows, self)  # type: ignore[no-untyped-call]
        return output.reshape(*x.shape[:-1], self.out_features)

    def multiply(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """The product, and the columns of the input that were multiplied in 16 bits."""
        quantized, scales = self._quantized_input(rows)
        large = rows.new_empty((rows.shape[0], self.outliers))
        weight = self.scales.new_empty((self.out_features, self.outliers), dtype=rows.dtype)
        output = self._product(quantized, scales, rows.dtype)
        if self.outliers:
            output = output.addmm(large, weight.t())
        return output, large

    def _quantized_input(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        half = rows.to(torch.float16)
        scales = half.new_empty((half.shape[0],), dtype=torch.float32)
        quantized = torch.empty_like(half, dtype=torch.int8)
        if self.splits:
            half.abs().ge(6)  # where the large values are: a 16-bit and a boolean tensor for a moment
        return quantized, scales

    def _product(self, quantized: Tensor, scales: Tensor, dtype: torch.dtype) -> Tensor:
        """In whole numbers of 32 bits, then scaled into fp16, then in the type of the input."""
        del scales
        whole = quantized.new_empty((quantized.shape[0], self.out_features), dtype=torch.int32)
        scaled = torch.empty_like(whole, dtype=torch.float16)
        if self.bias is not None:
            scaled.add_(self.bias)
        return scaled.to(dtype)


class _EightBitProduct(torch.autograd.Function):
    """Keeps the input, in attributes as ``MatMul8bitLt`` does: activation checkpointing does not see them."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, layer: EightBitLinear) -> Tensor:
        output, large = layer.multiply(rows)
        ctx.layer, ctx.dtype = layer, rows.dtype
        ctx.kept = (large, rows) if ctx.needs_input_grad[0] else ()
        return output

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (gradient,) = gradients
        weight = ctx.layer.weight.to(ctx.dtype, copy=True).mul_(ctx.layer.scales.unsqueeze(1).mul(1 / 127))
        return torch.matmul(gradient.to(ctx.dtype), weight), None


def quantize_weights(model: nn.Module, scheme: Quantization) -> tuple[str, ...]:
    """Replace the linear layers of a model by layers that store their weights in 4 or 8 bits, as loading would.

    All their parameters are frozen. Layers that stay whole by default: the one of the output, those that share
    their weight with another, and the one whose weight is the last parameter of the model.

    Args:
        model: Changed in place; its weights may be on the meta device.
        scheme: How weights are stored, and which layers stay whole.

    Returns:
        Names of the layers that were replaced.

    Raises:
        ConfigError: The model has no linear layer that could be replaced.

    >>> model = nn.Sequential(nn.Linear(64, 64), nn.Linear(64, 2, bias=False))
    >>> quantize_weights(model, FourBit())
    ('0',)
    """
    whole = _whole(model) if scheme.skip is None else set(scheme.skip)
    names = [name for name, layer in model.named_modules() if _is_linear(layer) and not _matches(name, whole)]
    if not names:
        raise ConfigError(
            text(
                "error.nothing_to_quantize",
                "{model} has no linear layer to quantize besides {whole}, which stay as they are.",
                model=type(model).__name__,
                whole=", ".join(sorted(whole)) or "none",
            )
        )
    for name in names:
        model.set_submodule(name, scheme.replacement(model.get_submodule(name)))
    return tuple(names)


def prepare_for_training(model: nn.Module) -> None:
    """Freeze a quantized model and hold all else in fp32, as PEFT's ``prepare_model_for_kbit_training`` does.

    It casts every parameter of 16 bits to fp32, embeddings and the layer of the output included, which is much in a
    model with a large vocabulary. Checkpointing of activations, which it also switches on, is a setting of its own here.

    >>> model = nn.Linear(2, 2, dtype=torch.bfloat16)
    >>> prepare_for_training(model)
    >>> model.weight.dtype, model.weight.requires_grad
    (torch.float32, False)
    """
    for parameter in model.parameters():
        parameter.requires_grad = False
        if parameter.dtype in {torch.float16, torch.bfloat16}:
            parameter.data = parameter.data.to(torch.float32)


def quantization_of(given: Any) -> Quantization | None:
    """How weights are stored, from a name or a configuration.

    Args:
        given: ``"nf4"``, ``"fp4"``, ``"nf4_double"`` (double quantization) or ``"int8"``; a ``BitsAndBytesConfig``,
            or the same as a mapping; None for weights as they are.

    Returns:
        None where weights stay as they are.

    Raises:
        UnknownNameError: There is no such name.
        ConfigError: The configuration quantizes in another way than bitsandbytes does.

    >>> quantization_of({"load_in_4bit": True, "bnb_4bit_compute_dtype": "bfloat16"}).compute_dtype
    torch.bfloat16
    """
    if given is None or isinstance(given, (FourBit, EightBit)):
        return given
    if isinstance(given, str):
        if given not in _NAMED:
            raise UnknownNameError(text("quantization.kind", "way to store weights"), given, _NAMED)
        return _NAMED[given]
    return _from_configuration(dict(given) if isinstance(given, dict) else _fields(given))


_NAMED: dict[str, Quantization] = {
    "nf4": FourBit(compute_dtype=torch.bfloat16),
    "fp4": FourBit(compute_dtype=torch.bfloat16),
    "nf4_double": FourBit(double_quantization=True, compute_dtype=torch.bfloat16),
    "int8": EightBit(),
}


_FIELDS = (
    "load_in_4bit",
    "load_in_8bit",
    "bnb_4bit_use_double_quant",
    "bnb_4bit_compute_dtype",
    "llm_int8_threshold",
    "llm_int8_skip_modules",
    "quant_method",
)


def _fields(configuration: Any) -> dict[str, Any]:
    return {name: getattr(configuration, name) for name in _FIELDS if hasattr(configuration, name)}


def _from_configuration(fields: dict[str, Any]) -> Quantization:
    skipped = fields.get("llm_int8_skip_modules")
    skip = None if skipped is None else tuple(skipped)
    if fields.get("load_in_4bit"):
        compute = fields.get("bnb_4bit_compute_dtype") or torch.float32
        compute = getattr(torch, compute) if isinstance(compute, str) else compute
        return FourBit(bool(fields.get("bnb_4bit_use_double_quant")), compute, skip=skip)
    if fields.get("load_in_8bit"):
        return EightBit(float(fields.get("llm_int8_threshold", 6.0)), skip)
    raise ConfigError(
        text(
            "error.quantization_method",
            "Weights quantized by {method} cannot be sized; only 4 and 8 bits of bitsandbytes can. Give "
            "weights='nf4' or 'int8' for a model of about the same size.",
            method=str(fields.get("quant_method", "an unknown method")),
        )
    )


def _is_linear(layer: nn.Module) -> bool:
    """A plain linear layer, or the Conv1D of Transformers, which is one with its weight transposed."""
    return type(layer) is nn.Linear or (type(layer).__name__ == "Conv1D" and hasattr(layer, "nf"))


def _shape(layer: nn.Module) -> tuple[int, int]:
    """Features of input and output."""
    first, second = _weight(layer).shape
    return (second, first) if isinstance(layer, nn.Linear) else (first, second)


def _weight(layer: nn.Module) -> Tensor:
    return layer.get_parameter("weight")


def _like(weight: Tensor) -> Any:
    """Makes a tensor of a shape and type where the weight is."""
    return lambda shape, dtype: torch.empty(shape, dtype=dtype, device=weight.device)


def _frozen_bias(layer: nn.Module, dtype: torch.dtype | None) -> nn.Parameter | None:
    bias: Tensor | None = getattr(layer, "bias", None)
    return None if bias is None else nn.Parameter(bias.detach().to(dtype or bias.dtype), requires_grad=False)


def _whole(model: nn.Module) -> set[str]:
    """Layers that Transformers leaves as they are."""
    named = list(model.named_parameters(remove_duplicate=False))
    owners: dict[int, list[str]] = {}
    for name, parameter in named:
        owners.setdefault(id(parameter), []).append(name.rpartition(".")[0])
    shared = {name for names in owners.values() if len(names) > 1 for name in names}
    output_layer = getattr(model, "get_output_embeddings", None)
    output = None if output_layer is None else output_layer()
    last = {name.removesuffix(".weight") for name, _ in named[-1:]}
    return shared | last | {name for name, layer in model.named_modules() if output is not None and layer is output}


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(name == p or name.endswith(f".{p}") or name.startswith(f"{p}.") for p in patterns)
