"""What the models of the Transformers library share: how they are built, their batches, their loss.

A batch holds no ``attention_mask``: without padding the library drops it on a GPU, and a mask that is
traced would stand for padding, which keeps attention from its fastest kernel.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from functools import partial
from importlib import import_module
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor

from bigmodel_lab.errors import ConfigError, MissingPackageError, UnknownNameError
from bigmodel_lab.i18n import text
from bigmodel_lab.subjects.base import Batch

ATTENTIONS = ("sdpa", "eager")
"""How attention may be computed: torch's fused function, or one operation after the other."""


def library_model(head: str, configuration: str, *, attention: str = "sdpa", **values: Any) -> nn.Module:
    """A model of the Transformers library with random weights, in training mode.

    Args:
        head: Name of its class, e.g. ``"GPT2LMHeadModel"``.
        configuration: Name of the class of its configuration, e.g. ``"GPT2Config"``.
        attention: One of :data:`ATTENTIONS`.
        values: Fields of the configuration; the others stay as the library has them.

    Raises:
        MissingPackageError: Transformers is not installed.
        UnknownNameError: There is no such attention; lists those that exist.
    """
    if attention not in ATTENTIONS:
        raise UnknownNameError(text("subject.attention", "attention"), attention, ATTENTIONS)
    with torch.device("cpu"):  # whatever the package makes while it is imported must not end up without numbers
        library = _library()
        kind, settings = getattr(library, head), getattr(library, configuration)
    return one_sequence_a_row(kind(settings(attn_implementation=attention, **values)))


def gpt2(**values: Any) -> nn.Module:
    """A decoder of GPT-2's architecture; see :func:`library_model` for the keywords.

    It keeps no keys and values of past tokens, as in the library's own training loop.
    """
    model = library_model("GPT2LMHeadModel", "GPT2Config", **{"use_cache": False, **values})
    vars(model)["loss_type"] = "ForCausalLM"  # the library reads it from names of classes, and GPT-2's does not say it
    return model


def bert(**values: Any) -> nn.Module:
    """An encoder of BERT's architecture that guesses masked tokens; see :func:`library_model` for the keywords."""
    return library_model("BertForMaskedLM", "BertConfig", **values)


def tokens(samples: int, *, length: int, longest: int) -> Batch:
    """Numbers of tokens, and as labels as many again.

    Args:
        samples: Sequences, from 1.
        length: Tokens of each.
        longest: Positions that the model knows.

    Raises:
        ConfigError: The sequences are longer than the model takes.

    >>> {name: tuple(tensor.shape) for name, tensor in tokens(2, length=16, longest=512).items()}
    {'input_ids': (2, 16), 'labels': (2, 16)}
    """
    if length > longest:
        raise ConfigError(
            text(
                "error.subject_length",
                "length is {length}, and this model knows {longest} positions. Take {longest} or fewer.",
                length=length,
                longest=longest,
            )
        )
    return {name: torch.ones(samples, length, dtype=torch.int64) for name in ("input_ids", "labels")}


def library_loss(model: nn.Module, batch: Batch) -> Tensor:
    """The mean loss of a batch as the library computes it, in nats; a causal model shifts the labels itself."""
    loss: Tensor = model(**batch).loss
    return loss


def one_sequence_a_row(model: nn.Module) -> nn.Module:
    """Let a model take each row of a batch without numbers for one sequence, which it is unless it was packed.

    Since version 4.53 the library reads from the numbers of the positions whether several sequences were packed into a
    row. Where there are no numbers it is prepared for the worst and makes a mask of (samples, 1, length, length),
    which a real step does not have and which keeps attention from its fastest kernel. Real tensors are read as ever.

    Args:
        model: Of the library, or around one of its models; gets two hooks.

    Returns:
        The model itself.
    """
    model.register_forward_pre_hook(_enter)
    model.register_forward_hook(_leave, always_call=True)  # after an error, too
    return model


def _enter(*_: object) -> None:
    _count(1)


def _leave(*_: object) -> None:
    _count(-1)


_lock = threading.Lock()
_inside = 0


def _count(change: int) -> None:
    """The library's function is one for all threads: the first to come replaces it, the last to go restores it."""
    global _inside  # noqa: PLW0603 (as said)
    masks = sys.modules.get("transformers.masking_utils")
    detect = getattr(masks, _DETECT, None)
    with _lock:
        _inside += change
        if detect is not None and _inside == 1 and change > 0:
            setattr(masks, _DETECT, partial(_packed, detect))
        elif isinstance(detect, partial) and _inside == 0:
            setattr(masks, _DETECT, detect.args[0])


_DETECT = "find_packed_sequence_indices"


def _packed(detect: Callable[[Tensor], Tensor | None], position_ids: Tensor) -> Tensor | None:
    if position_ids.is_meta or isinstance(position_ids, FakeTensor):
        return None
    return detect(position_ids)


def _library() -> ModuleType:
    try:
        return import_module("transformers")
    except ModuleNotFoundError as missing:
        purpose = text("subject.transformers_purpose", "build this model")
        raise MissingPackageError("transformers", purpose, "subjects") from missing
