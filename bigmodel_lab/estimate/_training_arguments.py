"""The settings of Transformers' ``TrainingArguments`` (and TRL's, which extend them) as settings of an estimate.

Names and defaults: Transformers 5, ``training_args.py`` and ``trainer_optimizer.py``; TRL 0.2x, ``trainer/sft_config.py``.
Whatever changes the memory and is not followed is listed, never left out in silence.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from bigmodel_lab.errors import ConfigError, MissingPackageError
from bigmodel_lab.estimate._small_states import STATES, states_only
from bigmodel_lab.i18n import Text, text


@dataclass(frozen=True)
class ReadArguments:
    """What an estimate takes from training arguments."""

    settings: Mapping[str, Any]
    """Keywords of :func:`bigmodel_lab.estimate_memory`."""
    not_followed: tuple[str, ...]
    """A sentence for each setting that changes the memory and is not followed, with its name and value."""


def read_training_arguments(arguments: Any) -> ReadArguments:
    """Read training arguments by the names of their fields, so that nothing needs to be imported.

    Args:
        arguments: A ``TrainingArguments``, ``SFTConfig`` or anything else with fields of these names; what it lacks
            counts as not set.

    Raises:
        ConfigError: It has no ``per_device_train_batch_size``, so that it is something else.

    >>> from types import SimpleNamespace
    >>> given = SimpleNamespace(per_device_train_batch_size=4, bf16=True, optim="adamw_torch_fused", fsdp="full_shard")
    >>> read = read_training_arguments(given)
    >>> read.settings["micro_batch_size"], read.settings["precision"], read.settings["optimizer_options"]
    (4, 'bf16', {'fused': True})
    >>> read.not_followed
    ("fsdp='full_shard': the weights are spread over several cards; the estimate is for one card that holds them all.",)
    """
    if not hasattr(arguments, "per_device_train_batch_size"):
        raise ConfigError(
            text(
                "error.training_arguments",
                "{kind} has no per_device_train_batch_size. Give a transformers.TrainingArguments or one that extends it.",
                kind=type(arguments).__name__,
            )
        )
    missed = [
        _sentence(name, getattr(arguments, name), why) for name, why in _NOT_FOLLOWED.items() if _set(arguments, name)
    ]
    optimizer, optimizer_missed = _optimizer(arguments)
    settings = {
        "micro_batch_size": int(arguments.per_device_train_batch_size),
        "gradient_accumulation_steps": int(getattr(arguments, "gradient_accumulation_steps", 1)),
        "precision": _precision(arguments),
        "checkpointing": any(getattr(arguments, name, None) for name in _CHECKPOINTING),
        **optimizer,
    }
    return ReadArguments(settings, (*missed, *optimizer_missed, *_reentrant(arguments)))


_CHECKPOINTING = ("activation_checkpointing", "gradient_checkpointing")
_PLAIN = {
    "adamw_torch": "adamw",
    "adamw_torch_fused": "adamw",
    "sgd": "sgd",
    "adagrad": "adagrad",
    "rmsprop": "rmsprop",
}
"""Optimizers of torch by the names that Transformers gives them."""
_NOT_FOLLOWED = {
    "deepspeed": Text("arguments.deepspeed", "DeepSpeed moves and splits states; the estimate is for plain PyTorch."),
    "fsdp": Text(
        "arguments.fsdp", "the weights are spread over several cards; the estimate is for one card that holds them all."
    ),
    "parallelism_config": Text("arguments.parallelism", "the estimate is for one card that holds the whole model."),
    "torch_compile": Text("arguments.compile", "compiled code fuses operations; the estimate is for eager PyTorch."),
    "use_liger_kernel": Text("arguments.liger", "Liger's kernels keep less; the estimate is for the library's own."),
    "neftune_noise_alpha": Text("arguments.neftune", "the noise on the embeddings is not added."),
    "label_smoothing_factor": Text("arguments.smoothing", "the Trainer's smoothed loss keeps more of the logits."),
    "optim_target_modules": Text("arguments.low_rank", "low-rank optimizer states are sized as if they were full."),
    "auto_find_batch_size": Text("arguments.find_batch", "the estimate is for the batch size that is given."),
    "torch_empty_cache_steps": Text("arguments.empty_cache", "the cache is never emptied between steps here."),
    "packing": Text("arguments.packing", "the batch counts as it is given, not as packed sequences."),
    "padding_free": Text("arguments.padding_free", "the batch counts as it is given, with its padding."),
    "activation_offloading": Text("arguments.offloading", "activations stay on the card here."),
    "use_cache": Text("arguments.use_cache", "keys and values of past tokens are not kept in training."),
    "fp16_full_eval": Text("arguments.fp16_eval", "only training is sized, not evaluation."),
    "bf16_full_eval": Text("arguments.bf16_eval", "only training is sized, not evaluation."),
    "use_cpu": Text("arguments.use_cpu", "the estimate is for a card all the same."),
}
"""Fields that change the memory of a card and are not followed, and what the estimate does instead."""


def _set(arguments: Any, name: str) -> bool:
    """Whether a field says something else than "off"; FSDP's is a list or text, which may be empty."""
    value = getattr(arguments, name, None)
    return bool(value) and value != "no"


def _sentence(name: str, value: object, why: object) -> str:
    return text("arguments.not_followed", "{name}={value!r}: {why}", name=name, value=value, why=why)


def _precision(arguments: Any) -> str:
    for name in ("bf16", "fp16", "tf32"):
        if getattr(arguments, name, None):
            return name
    return "fp32"


def _optimizer(arguments: Any) -> tuple[dict[str, Any], list[str]]:
    """Keywords for the optimizer, and what of it is not followed."""
    asked = getattr(arguments, "optim", "adamw_torch")
    name = str(getattr(asked, "value", asked))
    if name in _PLAIN:
        return {"optimizer": _PLAIN[name], "optimizer_options": _options(name, arguments)}, []
    if name in STATES:
        return {"optimizer": states_only(name)}, []
    if name == "adafactor":
        return {"optimizer": adafactor}, []
    why = text("arguments.optimizer", "this optimizer is not known here; the estimate takes torch's AdamW.")
    return {"optimizer": "adamw"}, [_sentence("optim", name, why)]


def _options(name: str, arguments: Any) -> dict[str, Any]:
    """Those that decide which states there are: the momentum of SGD, and the fused kernel of AdamW."""
    if name == "adamw_torch_fused":
        return {"fused": True}
    given = str(getattr(arguments, "optim_args", None) or "").replace(" ", "")
    pairs = dict(pair.split("=", 1) for pair in given.split(",") if "=" in pair)
    return {"momentum": float(pairs["momentum"])} if name == "sgd" and "momentum" in pairs else {}


def adafactor(model: nn.Module) -> torch.optim.Optimizer:
    """Transformers' Adafactor as its Trainer makes it, over the trainable parameters; its step runs as it is.

    Args:
        model: With at least one trainable parameter.

    Raises:
        MissingPackageError: Transformers is not installed.
    """
    try:
        from transformers.optimization import Adafactor
    except ModuleNotFoundError as missing:
        purpose = text("arguments.adafactor_purpose", "size its Adafactor")
        raise MissingPackageError("transformers", purpose, "subjects") from missing
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    make: Callable[..., torch.optim.Optimizer] = Adafactor
    return make(trainable, lr=1e-3, scale_parameter=False, relative_step=False)


def _reentrant(arguments: Any) -> list[str]:
    """The older kind of checkpointing runs each block without gradients first; here the newer one is traced."""
    names = [f"{name}_kwargs" for name in _CHECKPOINTING]
    asked = [(name, getattr(arguments, name, None) or {}) for name in names]
    why = text("arguments.reentrant", "checkpointing is traced without re-entry, the default of Transformers.")
    return [
        _sentence(name, value, why)
        for name, value in asked
        if isinstance(value, Mapping) and value.get("use_reentrant")
    ]
