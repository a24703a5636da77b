"""Quantized weights and adapters as one change of the model, in the order in which people make it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from torch import nn

from bigmodel_lab.estimate._lora import Lora, add_lora, lora_of
from bigmodel_lab.estimate._quantized import Quantization, prepare_for_training, quantization_of, quantize_weights


def preparation(weights: Any = None, adapters: Any = None) -> Callable[[nn.Module], nn.Module] | None:
    """What changes a model before its step is traced.

    Weights that are quantized are frozen, and what else is in 16 bits goes to fp32 when adapters shall learn beside
    them, as PEFT's ``prepare_model_for_kbit_training`` does.

    Args:
        weights: How linear layers store their weights, as :func:`quantization_of` takes it; None leaves them.
        adapters: A :class:`Lora` or a PEFT ``LoraConfig``; None adds none.

    Returns:
        None where nothing is to be changed.

    Raises:
        UnknownNameError: There is no such way to store weights.
        ConfigError: A configuration asks for something that is not sized.

    >>> prepare = preparation("nf4", Lora(("0",), rank=2))
    >>> model = prepare(nn.Sequential(nn.Linear(64, 64), nn.Linear(64, 2, bias=False)))
    >>> type(model[0].base_layer).__name__
    'FourBitLinear'
    """
    scheme = quantization_of(weights)
    lora = adapters if adapters is None or isinstance(adapters, Lora) else lora_of(adapters)
    if scheme is None and lora is None:
        return None
    return partial(_prepared, scheme, lora)


def _prepared(scheme: Quantization | None, lora: Lora | None, model: nn.Module) -> nn.Module:
    if scheme is not None:
        quantize_weights(model, scheme)
        if lora is not None:
            prepare_for_training(model)
    if lora is not None:
        add_lora(model, lora)
    return model
