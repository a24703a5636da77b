"""Quantized weights and adapters together."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from bigmodel_lab.errors import ConfigError, UnknownNameError
from bigmodel_lab.estimate._lora import Lora, LoraLinear
from bigmodel_lab.estimate._preparation import preparation
from bigmodel_lab.estimate._quantized import EightBitLinear, FourBitLinear

HALF = torch.bfloat16


def model() -> nn.Sequential:
    """An embedding, two layers, and an output without bias, in bf16."""
    layers = (nn.Embedding(8, 64), nn.Linear(64, 64), nn.Linear(64, 64), nn.Linear(64, 8, bias=False))
    return nn.Sequential(*layers).to(HALF)


def test_nothing_to_prepare_is_none():
    """Then the model is traced as it is."""
    assert preparation() is None


def test_weights_alone():
    """Quantized layers are frozen; what is not quantized learns as before, in its own type."""
    prepare = preparation("int8")
    assert prepare is not None
    prepared = prepare(model())

    assert isinstance(prepared.get_submodule("1"), EightBitLinear)
    assert prepared.get_parameter("0.weight").requires_grad
    assert prepared.get_parameter("0.weight").dtype == HALF


def test_adapters_alone():
    """LoRA beside weights in 16 bits: those keep their type."""
    prepare = preparation(adapters=Lora(("1",), rank=2))
    assert prepare is not None
    prepared = prepare(model())

    assert isinstance(prepared.get_submodule("1"), LoraLinear)
    assert prepared.get_parameter("2.weight").dtype == HALF


def test_both_are_qlora():
    """4-bit weights below, adapters beside, all else in fp32, and only adapters learn."""
    prepare = preparation("nf4", SimpleNamespace(r=2, target_modules=["1", "2"], lora_dropout=0.0))
    assert prepare is not None
    prepared = prepare(model())
    learning = [name for name, p in prepared.named_parameters() if p.requires_grad]

    assert isinstance(prepared.get_submodule("1.base_layer"), FourBitLinear)
    assert prepared.get_parameter("0.weight").dtype == torch.float32
    assert {name.split(".")[1] for name in learning} == {"lora_A", "lora_B"}


def test_a_wrong_name_is_refused_before_anything_is_built():
    """Not first in the middle of a trace."""
    with pytest.raises(UnknownNameError, match="nf5"):
        preparation("nf5")


def test_a_wrong_configuration_is_refused_before_anything_is_built():
    """The same for adapters."""
    with pytest.raises(ConfigError, match="use_dora"):
        preparation(adapters=SimpleNamespace(r=2, target_modules=["1"], use_dora=True))
