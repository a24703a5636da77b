"""Models of the Transformers library from a configuration, or from a Hub id of which only the configuration is read."""

from __future__ import annotations

import copy
from collections.abc import Callable
from importlib import import_module
from types import ModuleType
from typing import Any

import torch
from torch import nn

from bigmodel_lab.errors import ConfigError, MissingPackageError
from bigmodel_lab.estimate._quantized import quantization_of, quantize_weights
from bigmodel_lab.i18n import text
from bigmodel_lab.subjects._transformers import one_sequence_a_row

_DTYPE_OF_CONFIGURATION_FROM = 5
"""Since this version of Transformers, ``from_pretrained`` loads in the type that the configuration names."""
_HEADS = ("AutoModelForMaskedLM", "AutoModelForCausalLM", "AutoModelForImageClassification", "AutoModel")
"""Which head a configuration gets that names no architecture: the first that its kind of model has."""


def is_configuration(given: Any) -> bool:
    """Whether this is a configuration of Transformers; nothing is imported for it."""
    return not isinstance(given, type) and hasattr(given, "model_type") and hasattr(given, "to_diff_dict")


def read_configuration(hub_id: str) -> Any:
    """The configuration that lies under a Hub id or in a local folder; no weights are read.

    Args:
        hub_id: ``"org/name"``, or the path of a folder.

    Raises:
        MissingPackageError: Transformers is not installed.
        ConfigError: It cannot be read: no such id, no permission, no network and not in the cache; or the installed
            Transformers does not know this kind of model.
    """
    library = _library()
    try:
        return library.AutoConfig.from_pretrained(hub_id)
    except (OSError, ValueError) as error:
        raise ConfigError(
            text(
                "error.hub_configuration",
                "The configuration of {hub_id!r} cannot be read: {reason} Without a network give a configuration "
                "object, e.g. transformers.LlamaConfig(...), or a folder with a config.json.",
                hub_id=hub_id,
                reason=_first_sentence(error),
            )
        ) from error


def name_of(configuration: Any) -> str:
    """The Hub id that a configuration came from, or else its kind of model."""
    return str(getattr(configuration, "name_or_path", "") or configuration.model_type)


def model_from(configuration: Any) -> nn.Module:
    """The model that ``from_pretrained`` would give for this configuration, ready to train, with random weights.

    It has the head that the configuration names in ``architectures``, the number format it names (since Transformers 5),
    and quantized weights where it says so. It keeps no keys and values of past tokens, as Transformers' Trainer trains it.

    Args:
        configuration: Not changed.

    Raises:
        MissingPackageError: Transformers is not installed.
        ConfigError: The class it names is not part of the installed Transformers.
    """
    configuration = copy.deepcopy(configuration)
    if getattr(configuration, "use_cache", None):
        configuration.use_cache = False
    with torch.device("cpu"):  # whatever the package makes while it is imported must not end up without numbers
        kind = _class_of(_library(), configuration)
    model = one_sequence_a_row(kind(configuration))
    dtype = _dtype(configuration)
    model = model if dtype is None else model.to(dtype)
    scheme = quantization_of(getattr(configuration, "quantization_config", None))
    if scheme is not None:
        quantize_weights(model, scheme)
    return model


def _class_of(library: ModuleType, configuration: Any) -> Callable[[Any], nn.Module]:
    named = getattr(configuration, "architectures", None)
    if named:
        kind: Callable[[Any], nn.Module] | None = getattr(library, named[0], None)
        if kind is None:
            raise _unknown_class(named[0])
        return kind
    for head in _heads(configuration):
        classes = getattr(library, head)._model_mapping  # noqa: SLF001 (the only place where the library says it)
        if type(configuration) in classes:
            found = classes[type(configuration)]
            usual: Callable[[Any], nn.Module] = found[0] if isinstance(found, tuple) else found
            return usual
    raise _unknown_class(configuration.model_type)


def _heads(configuration: Any) -> tuple[str, ...]:
    if getattr(configuration, "is_encoder_decoder", False):
        return ("AutoModelForSeq2SeqLM", *_HEADS)
    return _HEADS[1:] if getattr(configuration, "is_decoder", False) else _HEADS


def _unknown_class(name: str) -> ConfigError:
    return ConfigError(
        text(
            "error.unknown_architecture",
            "The installed Transformers has no class {name}, and code from the Hub is not run here. "
            "Give the model itself, or a function that builds it.",
            name=name,
        )
    )


def _dtype(configuration: Any) -> torch.dtype | None:
    """The number format of the weights; None leaves them in fp32."""
    if int(_library().__version__.split(".")[0]) < _DTYPE_OF_CONFIGURATION_FROM:
        return None
    named = getattr(configuration, "dtype", None)
    return getattr(torch, named) if isinstance(named, str) else named


def _first_sentence(error: Exception) -> str:
    return str(error).strip().splitlines()[0].rstrip(".") + "."


def _library() -> ModuleType:
    try:
        return import_module("transformers")
    except ModuleNotFoundError as missing:
        purpose = text("estimate.transformers_purpose", "build a model from its configuration")
        raise MissingPackageError("transformers", purpose, "subjects") from missing
