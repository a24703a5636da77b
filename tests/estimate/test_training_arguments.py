"""Training arguments of Transformers and TRL become settings of an estimate; the rest is said by name."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from bigmodel_lab.errors import ConfigError, MissingPackageError
from bigmodel_lab.estimate._small_states import STATES, StatesOnly
from bigmodel_lab.estimate._training_arguments import ReadArguments, adafactor, read_training_arguments
from tests.estimate.traced import category_bytes, trained


def read(**fields: Any) -> ReadArguments:
    """Of arguments with these fields besides the batch size."""
    return read_training_arguments(SimpleNamespace(per_device_train_batch_size=8, **fields))


def test_what_is_not_there_counts_as_not_set():
    """One micro-batch a step in fp32 with AdamW, and nothing that is not followed."""
    assert read() == ReadArguments(
        {
            "micro_batch_size": 8,
            "gradient_accumulation_steps": 1,
            "precision": "fp32",
            "checkpointing": False,
            "optimizer": "adamw",
            "optimizer_options": {},
        },
        (),
    )


def test_batch_and_accumulation():
    """Per device: the estimate is for one card."""
    settings = read(gradient_accumulation_steps=4).settings

    assert (settings["micro_batch_size"], settings["gradient_accumulation_steps"]) == (8, 4)


@pytest.mark.parametrize(
    ("fields", "precision"),
    [
        ({"bf16": True}, "bf16"),
        ({"fp16": True}, "fp16"),
        ({"tf32": True}, "tf32"),
        ({"bf16": True, "tf32": True}, "bf16"),
        ({"bf16": False, "fp16": False, "tf32": None}, "fp32"),
    ],
)
def test_number_format(fields: dict[str, Any], precision: str):
    """Mixed precision decides before TF32, which changes no size."""
    assert read(**fields).settings["precision"] == precision


@pytest.mark.parametrize("name", ["gradient_checkpointing", "activation_checkpointing"])
def test_checkpointing_by_either_name(name: str):
    """Transformers 5 renames it."""
    assert read(**{name: True}).settings["checkpointing"] is True
    assert read(**{name: None}).settings["checkpointing"] is False


@pytest.mark.parametrize(
    ("optim", "optimizer", "options"),
    [
        ("adamw_torch", "adamw", {}),
        ("adamw_torch_fused", "adamw", {"fused": True}),
        ("sgd", "sgd", {}),
        ("adagrad", "adagrad", {}),
        ("rmsprop", "rmsprop", {}),
    ],
)
def test_optimizers_of_torch(optim: str, optimizer: str, options: dict[str, Any]):
    """By torch's own names, with what decides the memory."""
    settings = read(optim=optim).settings

    assert (settings["optimizer"], settings["optimizer_options"]) == (optimizer, options)


def test_momentum_of_sgd_is_read():
    """It is a state of its own."""
    assert read(optim="sgd", optim_args="momentum=0.9, nesterov=True").settings["optimizer_options"] == {
        "momentum": 0.9
    }


def test_a_name_may_be_a_member_of_an_enumeration():
    """As TrainingArguments hold it after they are made."""
    assert read(optim=SimpleNamespace(value="sgd")).settings["optimizer"] == "sgd"


@pytest.mark.parametrize("optim", STATES)
def test_optimizers_of_bitsandbytes(optim: str):
    """Made for a model by their states."""
    made = read(optim=optim).settings["optimizer"](nn.Linear(2, 1))

    assert isinstance(made, StatesOnly)
    assert made.states == STATES[optim]


def test_adafactor_is_the_librarys_own():
    """Its factored second moments take a row and a column for each matrix."""
    pytest.importorskip("transformers")
    model = nn.Linear(300, 200, bias=False, device="meta")
    x = torch.empty(4, 300, device="meta")
    make = read(optim="adafactor").settings["optimizer"]
    trace = trained(model, x, lambda m, x: m(x).sum(), make)

    assert category_bytes(trace, "optimizer_state") == (300 + 200) * 4 + 4  # and the size of the weight, one number


def test_adafactor_without_the_package_names_the_extra(monkeypatch: pytest.MonkeyPatch):
    """It is asked for only when the optimizer is made."""
    monkeypatch.setitem(sys.modules, "transformers.optimization", None)

    with pytest.raises(MissingPackageError, match=r"bigmodel_lab\[subjects\]"):
        adafactor(nn.Linear(2, 1))


def test_an_unknown_optimizer_is_said():
    """AdamW stands in for it."""
    found = read(optim="galore_adamw")

    assert found.settings["optimizer"] == "adamw"
    assert found.not_followed == (
        "optim='galore_adamw': this optimizer is not known here; the estimate takes torch's AdamW.",
    )


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("deepspeed", "ds_config.json"),
        ("fsdp", ["full_shard"]),
        ("torch_compile", True),
        ("use_liger_kernel", True),
        ("neftune_noise_alpha", 5.0),
        ("label_smoothing_factor", 0.1),
        ("auto_find_batch_size", True),
        ("packing", True),
        ("padding_free", True),
        ("activation_offloading", True),
        ("use_cache", True),
    ],
)
def test_what_is_not_followed_is_said_by_name(field: str, value: object):
    """With its value and what the estimate does instead."""
    (sentence,) = read(**{field: value}).not_followed

    assert sentence.startswith(f"{field}={value!r}: ")
    assert sentence.endswith(".")


@pytest.mark.parametrize(("field", "value"), [("fsdp", ""), ("fsdp", []), ("deepspeed", None), ("packing", False)])
def test_what_is_off_is_not_said(field: str, value: object):
    """Empty and false mean the same as missing."""
    assert read(**{field: value}).not_followed == ()


def test_reentrant_checkpointing_is_said():
    """It holds other tensors than what is traced."""
    found = read(gradient_checkpointing=True, gradient_checkpointing_kwargs={"use_reentrant": True})

    assert found.settings["checkpointing"] is True
    (sentence,) = found.not_followed
    assert sentence.startswith("gradient_checkpointing_kwargs={'use_reentrant': True}: ")


def test_checkpointing_without_reentry_is_followed():
    """As people are told to set it."""
    assert read(gradient_checkpointing_kwargs={"use_reentrant": False}).not_followed == ()


def test_real_training_arguments_are_read(tmp_path):
    """The class that people use, with its defaults, has nothing that is not followed."""
    transformers = pytest.importorskip("transformers")
    given = transformers.TrainingArguments(
        output_dir=str(tmp_path),
        per_device_train_batch_size=3,
        gradient_accumulation_steps=2,
        optim="paged_adamw_8bit",
        report_to=[],
        use_cpu=False,
    )
    found = read_training_arguments(given)

    assert (found.settings["micro_batch_size"], found.settings["gradient_accumulation_steps"]) == (3, 2)
    assert found.settings["optimizer"](nn.Linear(2, 1)).states == STATES["paged_adamw_8bit"]
    assert found.not_followed == ()


def test_something_else_is_refused():
    """A dict of settings is no TrainingArguments."""
    with pytest.raises(ConfigError, match="dict has no per_device_train_batch_size"):
        read_training_arguments({"per_device_train_batch_size": 8})
