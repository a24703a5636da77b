"""What a person may give as the model, and how each becomes one on the meta device."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from bigmodel_lab.errors import ConfigError, UnknownNameError
from bigmodel_lab.estimate import _library
from bigmodel_lab.estimate._source import ModelSource
from bigmodel_lab.estimate._wrappers import Unwrapped, on_one_card, unwrapped
from bigmodel_lab.i18n import text
from bigmodel_lab.models import MODELS, ModelCard
from bigmodel_lab.subjects import SUBJECTS, Subject
from bigmodel_lab.subjects._transformers import one_sequence_a_row
from bigmodel_lab.trace import check_can_be_copied, copy_of_model, stands_for, uncompiled
from bigmodel_lab.training.objectives import objective_of

Build = Callable[[], nn.Module]


def resolve_model(model: Any) -> ModelSource:
    """One shape for every way to say which model is meant.

    Args:
        model: Name of a documented or of a large model, an ``nn.Module``, a function or class that builds one without
            arguments, a configuration of Transformers, or a Hub id such as ``"org/name"``, of which only the configuration is read.

    Raises:
        UnknownNameError: There is no such name; lists those that exist.
        ConfigError: It is none of these; or the configuration cannot be read, or names a class that is not known here.
        MissingPackageError: Transformers is needed for it and not installed.

    >>> resolve_model("mlp").name, resolve_model(nn.Linear(2, 1)).build().weight.device.type
    ('mlp', 'meta')
    """
    if isinstance(model, str):
        return _named(model)
    if isinstance(model, nn.Module):
        return ModelSource(type(unwrapped(model)).__name__, partial(_copied, model))
    if _library.is_configuration(model):
        return _configured(model)
    if callable(model):
        return ModelSource(getattr(model, "__name__", type(model).__name__), partial(_built, model))
    raise ConfigError(
        text(
            "error.estimate_model",
            "The model is {kind}. Give a name, an nn.Module, a function that builds one, a configuration of the "
            "Transformers library, or a Hub id such as 'org/name'.",
            kind=type(model).__name__,
        )
    )


def on_meta(model: nn.Module) -> nn.Module:
    """A copy of a model whose parameters and buffers take no memory; the model itself is not touched.

    Args:
        model: On any device.

    Raises:
        TraceError: A part of it is a script.

    >>> model = nn.Linear(2, 1)
    >>> copied = on_meta(model)
    >>> copied.weight.device.type, copied.weight is model.weight
    ('meta', False)
    """
    check_can_be_copied(model)
    copied = on_one_card(copy_of_model(model, without_memory))
    return one_sequence_a_row(copied) if "transformers" in sys.modules else copied


def _copied(model: nn.Module) -> nn.Module:
    """On the meta device, without what programs put around a model for several cards."""
    inner = unwrapped(model)
    copied = on_meta(inner)
    if inner is model:
        return copied
    shell = Unwrapped(copied)
    stands_for(shell, model, uncompiled(model))
    return shell


def without_memory(tensor: Tensor) -> Tensor:
    """The same on the meta device; a parameter stays one, and one without a shape stays without."""
    if nn.parameter.is_lazy(tensor):
        shapeless: Any = type(tensor)  # its keywords are not in the stubs
        made: Tensor = shapeless(requires_grad=tensor.requires_grad, dtype=tensor.dtype, device="meta")
        return made
    made = torch.empty_strided(tensor.size(), tensor.stride(), dtype=tensor.dtype, device="meta")
    if isinstance(tensor, nn.Parameter):
        return nn.Parameter(made, requires_grad=tensor.requires_grad)
    return made


def _named(name: str) -> ModelSource:
    if name in MODELS.names():
        return _documented(MODELS.get(name))
    if name in SUBJECTS.names():
        return _large(SUBJECTS.get(name))
    if "/" in name:
        return _configured(_library.read_configuration(name))
    raise UnknownNameError(text("estimate.model_kind", "model"), name, [*MODELS.names(), *SUBJECTS.names()])


def _large(subject: Subject) -> ModelSource:
    return ModelSource(
        subject.name,
        partial(_on_meta_device, subject.build),
        subject.loss,
        lambda samples: _on_meta_device(partial(subject.example, samples)),
    )


def _documented(card: ModelCard) -> ModelSource:
    """A documented model in the sizes that its card describes, with the loss and the targets of its task."""
    usual = vars(card.defaults)
    return ModelSource(
        card.name,
        partial(_on_meta_device, card.build),
        objective_of(_task(card), card.loss),
        partial(_on_meta_device, partial(_documented_example, card)),
        {name: usual[name] for name in ("micro_batch_size", "optimizer", "precision")},
    )


def _documented_example(card: ModelCard, samples: int) -> tuple[Tensor, Tensor]:
    x = card.example(samples)
    if _task(card) == "classification":
        return x, torch.zeros(samples, dtype=torch.int64)
    if _task(card) == "next_token":
        return x, torch.zeros_like(x)
    assert card.output_shape is not None
    return x, torch.zeros(samples, *card.output_shape)


def _task(card: ModelCard) -> Any:
    """What the model learns, as far as its memory goes: classes, tokens, or numbers."""
    if card.output_shape is None:
        return "classification"
    return "next_token" if card.classes else "regression"


def _configured(configuration: Any) -> ModelSource:
    return ModelSource(
        _library.name_of(configuration),
        partial(_on_meta_device, partial(_library.model_from, configuration)),
    )


def _built(build: Build) -> nn.Module:
    """What a person's function builds: on the meta device, or for real where it computes with its weights."""
    try:
        model = _on_meta_device(build)
    except (NotImplementedError, RuntimeError):  # how tensors without data refuse to be read
        model = build()
    if not isinstance(model, nn.Module):
        raise ConfigError(
            text(
                "error.estimate_build",
                "The function {name} gave back {kind}, but it must build an nn.Module.",
                name=getattr(build, "__name__", repr(build)),
                kind=type(model).__name__,
            )
        )
    return _copied(model)


def _on_meta_device(make: Callable[..., Any], *arguments: Any) -> Any:
    with torch.device("meta"):
        return make(*arguments)
