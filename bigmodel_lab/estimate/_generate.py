"""Generating text: one pass over the prompt, then token by token with a cache of keys and values.

The steps are those of Transformers' ``generate`` (``generation/utils.py``, greedy decoding): the cache is the
library's own ``DynamicCache``, which grows by a copy in each layer at each token, so that a layer's old and
new keys are both alive for a moment.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from functools import partial
from importlib import import_module
from typing import Any

import torch
from torch import Tensor, nn

from bigmodel_lab.errors import ConfigError, MissingPackageError
from bigmodel_lab.i18n import text

_TRACED = 2
"""Decoding steps that are run at each end; between them the cache grows at once, so that long texts are quick to trace."""


def new_tokens_of(step: object) -> int | None:
    """How many tokens a planned step generates; None where it does not generate.

    Args:
        step: Of a plan.
    """
    if isinstance(step, partial) and step.func is generate_step:
        return int(step.keywords["new_tokens"])
    return None


def generate_step(model: nn.Module, batch: Any, new_tokens: int, *, traced: int = _TRACED) -> Tensor:
    """Read the prompts and generate: what a card needs for it at most is needed in here.

    Args:
        model: A causal language model of Transformers; it goes to evaluation mode.
        batch: Token numbers (samples, length), or a mapping with them as ``input_ids``; an ``attention_mask`` in it
            counts as one with padding. Labels are left out.
        new_tokens: Tokens to generate for each sample, from 1.
        traced: Decoding steps to run at the beginning and again at the end, from 1. Those between make the same requests
            with a longer cache each time.

    Returns:
        All token numbers, (samples, length + tokens generated step by step).

    Raises:
        ConfigError: The model is none of Transformers' causal language models, or ``new_tokens`` is below 1.
    """
    if new_tokens < 1 or traced < 1:
        raise ConfigError(
            text("error.new_tokens", "new_tokens is {count}, and it must be at least 1.", count=min(new_tokens, traced))
        )
    inputs = dict(batch) if isinstance(batch, Mapping) else {"input_ids": batch}
    ids, mask = inputs["input_ids"], inputs.get("attention_mask")
    cache = _cache(model)
    model.eval()
    with torch.no_grad():
        ids, mask = _one_more(model, ids, ids, mask, cache)  # the prompt gives the first token
        steps = new_tokens - 1
        first = min(steps, traced)
        last = min(steps - first, traced)
        ids, mask = _decode(model, ids, mask, cache, first)
        if steps > first + last:
            mask = _grow(cache, steps - first - last, mask)
        ids, _ = _decode(model, ids, mask, cache, last)
    return ids


def kv_cache_bytes(configuration: Any, samples: int, length: int, bytes_per_number: int = 2) -> tuple[int, ...]:
    """Bytes of keys and values in each layer after a text of some length.

    2 × samples × key/value heads × length × width of a head × bytes a number; a layer with a sliding window of w
    tokens holds at most w - 1 of them between two steps. (Ainslie et al. 2023, GQA: heads may share keys and values.)
    Layers of other kinds, such as linear attention, hold no such cache and count as 0.

    Args:
        configuration: Of a causal language model of Transformers.
        samples: Texts at once.
        length: Tokens of the prompt and those generated, from 1.
        bytes_per_number: 2 for bf16 and fp16, 4 for fp32.

    >>> from types import SimpleNamespace
    >>> llama = SimpleNamespace(num_hidden_layers=2, num_attention_heads=32, num_key_value_heads=8, hidden_size=4096)
    >>> kv_cache_bytes(llama, samples=1, length=1000)
    (4096000, 4096000)
    """
    text_model = (
        configuration.get_text_config(decoder=True) if hasattr(configuration, "get_text_config") else configuration
    )
    heads = getattr(text_model, "num_key_value_heads", None) or text_model.num_attention_heads
    width = getattr(text_model, "head_dim", None) or text_model.hidden_size // text_model.num_attention_heads
    a_token = 2 * samples * heads * width * bytes_per_number
    return tuple(a_token * kept for kept in _tokens_kept(text_model, length))


def _tokens_kept(text_model: Any, length: int) -> list[int]:
    window = getattr(text_model, "sliding_window", None) or getattr(text_model, "attention_chunk_size", None)
    kinds = getattr(text_model, "layer_types", None)
    if kinds is None:
        kinds = ["sliding_attention" if window else "full_attention"] * text_model.num_hidden_layers
    kept = {"full_attention": length, "sliding_attention": min(length, (window or length + 1) - 1)}
    kept["chunked_attention"] = kept["sliding_attention"]
    return [kept.get(kind, 0) for kind in kinds]


def _cache(model: nn.Module) -> Any:
    """An empty cache with the layers that the model's configuration says."""
    configuration = getattr(model, "config", None)
    if configuration is None or "past_key_values" not in _arguments(model):
        raise ConfigError(
            text(
                "error.not_causal",
                "{model} cannot generate: mode='generate' needs a causal language model of Transformers, which takes "
                "input_ids and past_key_values. For another model give step= with mode='inference'.",
                model=type(model).__name__,
            )
        )
    try:
        library = import_module("transformers")
    except ModuleNotFoundError as missing:
        purpose = text("generate.purpose", "keep keys and values while generating")
        raise MissingPackageError("transformers", purpose, "subjects") from missing
    takes_configuration = "config" in inspect.signature(library.DynamicCache).parameters
    return library.DynamicCache(config=configuration) if takes_configuration else library.DynamicCache()


def _arguments(model: nn.Module) -> Mapping[str, inspect.Parameter]:
    return inspect.signature(model.forward).parameters


def _decode(model: nn.Module, ids: Tensor, mask: Tensor | None, cache: Any, steps: int) -> tuple[Tensor, Tensor | None]:
    for _ in range(steps):
        ids, mask = _one_more(model, ids, ids[:, -1:], mask, cache)
    return ids, mask


def _one_more(
    model: nn.Module, ids: Tensor, fresh: Tensor, mask: Tensor | None, cache: Any
) -> tuple[Tensor, Tensor | None]:
    """Run the tokens that are not in the cache, and append the most likely next one."""
    last = {"logits_to_keep": 1} if "logits_to_keep" in _arguments(model) else {}  # scores of the last place alone
    output = model(input_ids=fresh, attention_mask=mask, past_key_values=cache, use_cache=True, **last)
    scores = output.logits[:, -1, :].to(torch.float32, copy=True)  # (samples, vocabulary)
    chosen = scores.argmax(-1, keepdim=True)
    if mask is not None:
        mask = torch.cat([mask, mask.new_ones((mask.shape[0], 1))], dim=-1)
    return torch.cat([ids, chosen], dim=-1), mask


def _grow(cache: Any, tokens: int, mask: Tensor | None) -> Tensor | None:
    """Let every layer's cache be as if so many more tokens had been decoded; the mask grows with it."""
    for number, layer in enumerate(cache.layers):
        keys, values = layer.keys[:, :, :1], layer.values[:, :, :1]
        # expanded, not copied: the only memory asked for is that of the longer cache
        cache.update(keys.expand(-1, -1, tokens, -1), values.expand(-1, -1, tokens, -1), number)
    return None if mask is None else torch.cat([mask, mask.new_ones((mask.shape[0], tokens))], dim=-1)
