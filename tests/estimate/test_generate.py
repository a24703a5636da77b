"""Generating with a cache of keys and values: what is computed, and what the cache takes."""

from __future__ import annotations

import sys
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from bigmodel_lab.errors import ConfigError, MissingPackageError
from bigmodel_lab.estimate._generate import generate_step, kv_cache_bytes
from tests.estimate.traced import peak_bytes, run_once

SAMPLES, PROMPT = 2, 5
TINY = {
    "vocab_size": 32,
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 512,
}


def causal(kind: str, **fields: Any) -> nn.Module:
    """A small language model with random weights."""
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = getattr(transformers, f"{kind}Config")(**{**TINY, **fields})
    return getattr(transformers, f"{kind}{'LMHeadModel' if kind == 'GPT2' else 'ForCausalLM'}")(config)


def llama(**fields: Any) -> nn.Module:
    """One whose heads share keys and values."""
    return causal("Llama", num_key_value_heads=2, **fields)


def prompt() -> torch.Tensor:
    """Token numbers."""
    return torch.arange(1, 1 + SAMPLES * PROMPT).reshape(SAMPLES, PROMPT)


def filled_cache(model: nn.Module, length: int) -> Any:
    """The library's cache after a text of this length, the last token by itself."""
    transformers = pytest.importorskip("transformers")
    cache = transformers.DynamicCache(config=model.config)
    ids = torch.ones(SAMPLES, length, dtype=torch.int64)
    with torch.no_grad():
        model(input_ids=ids[:, :-1], past_key_values=cache, use_cache=True)
        model(input_ids=ids[:, -1:], past_key_values=cache, use_cache=True)
    return cache


def bytes_of(cache: Any) -> tuple[int, ...]:
    """Of keys and values in each layer."""
    return tuple(sum(t.numel() * t.element_size() for t in (layer.keys, layer.values)) for layer in cache.layers)


# ---------------------------------------------------------------- the size of the cache


@pytest.mark.parametrize(
    ("kind", "fields"), [("Llama", {"num_key_value_heads": 2}), ("Llama", {"head_dim": 8}), ("GPT2", {})]
)
@pytest.mark.parametrize("length", [2, 7])
def test_the_formula_is_what_the_cache_holds(kind: str, fields: dict[str, Any], length: int):
    """Heads that share keys and values, heads of a width of their own, and GPT-2."""
    model = causal(kind, **fields)

    assert kv_cache_bytes(model.config, SAMPLES, length, 4) == bytes_of(filled_cache(model, length))


@pytest.mark.parametrize("length", [3, 4, 9])
def test_a_sliding_window_bounds_the_cache(length: int):
    """Below, at and above the window."""
    model = causal("Mistral", num_key_value_heads=2, sliding_window=4)

    assert kv_cache_bytes(model.config, SAMPLES, length, 4) == bytes_of(filled_cache(model, length))


def test_layers_may_be_of_two_kinds():
    """Every second one with a window."""
    kinds = ["sliding_attention", "full_attention"]
    config = SimpleNamespace(
        num_hidden_layers=2, num_attention_heads=1, hidden_size=4, sliding_window=3, layer_types=kinds
    )

    assert kv_cache_bytes(config, 1, 10, 1) == (2 * 4 * 2, 2 * 4 * 10)


def test_layers_without_keys_and_values_count_nothing():
    """Linear attention has a state of fixed size, which is none of this cache."""
    config = SimpleNamespace(
        num_hidden_layers=1, num_attention_heads=1, hidden_size=4, layer_types=["linear_attention"]
    )

    assert kv_cache_bytes(config, 1, 10) == (0,)


def test_a_seven_billion_model_by_hand():
    """Llama 2 7B: 32 layers of 32 heads of 128 in bf16 are half a mebibyte a token."""
    config = SimpleNamespace(num_hidden_layers=32, num_attention_heads=32, hidden_size=4096)

    assert sum(kv_cache_bytes(config, 1, 1)) == 2**19


# ---------------------------------------------------------------- the step


@pytest.mark.parametrize("make", [llama, partial(causal, "GPT2")])
def test_tokens_are_those_of_the_library(make: Any):
    """Greedy decoding, token for token."""
    model = make().eval()
    expected = model.generate(
        prompt(),
        attention_mask=torch.ones_like(prompt()),
        max_new_tokens=6,
        min_new_tokens=6,
        do_sample=False,
        pad_token_id=0,
    )

    assert torch.equal(generate_step(model, prompt(), new_tokens=6, traced=6), expected)


def test_a_mask_in_the_batch_is_used():
    """Padding on the left is not looked at: the tokens are those of the text without it."""
    model = llama().eval()
    padded = torch.cat([torch.zeros(SAMPLES, 2, dtype=torch.int64), prompt()], dim=1)
    mask = (padded > 0).to(torch.int64)
    generated = generate_step(model, {"input_ids": padded, "attention_mask": mask, "labels": padded}, new_tokens=3)
    expected = model.generate(
        padded, attention_mask=mask, max_new_tokens=3, min_new_tokens=3, do_sample=False, pad_token_id=0
    )

    assert torch.equal(generated, expected)


@pytest.mark.parametrize(("new_tokens", "traced", "steps"), [(1, 2, 1), (3, 2, 3), (5, 2, 5), (6, 2, 5), (500, 2, 5)])
def test_long_texts_are_decoded_at_both_ends(new_tokens: int, traced: int, steps: int):
    """One token from the prompt, and at most twice as many steps as are traced."""
    ids = generate_step(llama(), prompt(), new_tokens, traced=traced)

    assert ids.shape == (SAMPLES, PROMPT + steps)


def test_the_cache_is_as_long_as_without_the_leap():
    """The peak of a text that was decoded in full, and of one whose middle was left out."""
    model, step = llama(hidden_size=64, num_hidden_layers=1), partial(generate_step, new_tokens=24)
    ids = torch.empty(SAMPLES, PROMPT, dtype=torch.int64, device="meta")
    whole, ends = (peak_bytes(run_once(model, ids, partial(step, traced=n))) for n in (24, 2))

    assert ends == pytest.approx(whole, rel=0.005)


def test_longer_texts_take_more():
    """By what the formula says of the cache, and little else; a layer's old and new keys are both there for a moment."""
    model = causal("Llama", num_hidden_layers=4)
    ids = torch.empty(SAMPLES, PROMPT, dtype=torch.int64, device="meta")
    short, long = (peak_bytes(run_once(model, ids, partial(generate_step, new_tokens=n))) for n in (100, 300))
    cache = sum(kv_cache_bytes(model.config, SAMPLES, 200, 4))

    assert cache < long - short < 1.6 * cache


def test_only_the_last_scores_of_the_prompt_are_made():
    """Of a long prompt the scores of every place would be the largest tensor by far."""
    model = llama(vocab_size=4096)
    ids = torch.empty(SAMPLES, 200, dtype=torch.int64, device="meta")
    trace = run_once(model, ids, partial(generate_step, new_tokens=1))

    assert (
        max(a.bytes for a in trace.allocations if 4096 in a.shape and a.category != "parameter") == SAMPLES * 4096 * 4
    )


def test_nothing_is_kept_for_a_backward_pass():
    """And dropout is off."""
    model = llama()
    ids = generate_step(model, prompt(), new_tokens=2)

    assert not ids.requires_grad
    assert not model.training


def test_a_model_of_ones_own_cannot_generate():
    """It has no cache; the message names the way around."""
    with pytest.raises(ConfigError, match="Linear cannot generate"):
        generate_step(nn.Linear(2, 2), prompt(), new_tokens=1)


def test_a_classifier_of_images_cannot_generate():
    """A model of the library, but none of tokens."""
    transformers = pytest.importorskip("transformers")
    fields = {k: v for k, v in TINY.items() if k not in {"max_position_embeddings", "vocab_size"}}
    model = transformers.ViTForImageClassification(transformers.ViTConfig(image_size=32, **fields))

    with pytest.raises(ConfigError, match="ViTForImageClassification cannot generate"):
        generate_step(model, prompt(), new_tokens=1)


@pytest.mark.parametrize("given", [{"new_tokens": 0}, {"new_tokens": 4, "traced": 0}])
def test_at_least_one_token_is_generated(given: dict[str, int]):
    """And one step traced."""
    with pytest.raises(ConfigError, match="new_tokens is 0"):
        generate_step(llama(), prompt(), **given)


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch):
    """The message is the install line."""
    model = llama()
    monkeypatch.setitem(sys.modules, "transformers", None)

    with pytest.raises(MissingPackageError, match=r"bigmodel_lab\[subjects\]"):
        generate_step(model, prompt(), new_tokens=1)
