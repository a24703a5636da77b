"""Fewer new tokens."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import Any

import pytest
import torch

from bigmodel_lab._virtual_gpu import VirtualGpu
from bigmodel_lab.api._advice import advise
from bigmodel_lab.estimate import estimate_memory
from bigmodel_lab.tips._predict import Predictor
from bigmodel_lab.tips.base import Evidence
from bigmodel_lab.tips.kv_cache_limit import propose
from bigmodel_lab.training import TrainConfig
from tests.tips.evidences import nearly_full, predicted

SAMPLES, PROMPT, TOKENS = 256, 2, 16


def decoder() -> Any:
    """A small one whose cache is large beside its weights."""
    transformers = pytest.importorskip("transformers")
    return transformers.LlamaConfig(
        vocab_size=100, hidden_size=256, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4
    )


@lru_cache(maxsize=2)
def generating(tokens: int = TOKENS) -> Evidence:
    """256 texts at once, on a card that is too small."""
    config = TrainConfig(micro_batch_size=SAMPLES)
    batch = {"input_ids": torch.empty(SAMPLES, PROMPT, dtype=torch.int64, device="meta")}
    estimate = estimate_memory(decoder(), batch, mode="generate", new_tokens=tokens, gpu="2GiB")
    return predicted(
        free_mib=20, config=config, mode="generate", new_tokens=tokens, predictor=Predictor(estimate, config)
    )


def test_generating_by_hand_is_in_the_range() -> None:
    """``generate`` of Transformers with half the tokens, on a simulated card."""
    import transformers

    proposal = propose(generating())
    model = transformers.LlamaForCausalLM(decoder()).eval()
    prompt = torch.ones(SAMPLES, PROMPT, dtype=torch.int64)
    with VirtualGpu("2GiB") as gpu:
        gpu.adopt(model)
        model.generate(
            prompt,
            attention_mask=torch.ones_like(prompt),
            max_new_tokens=TOKENS // 2,
            min_new_tokens=TOKENS // 2,
            do_sample=False,
            pad_token_id=0,
        )

    assert proposal is not None
    assert proposal.memory is not None
    assert proposal.memory.least_bytes <= gpu.peak_allocated_bytes <= proposal.memory.most_bytes


def test_the_cache_of_half_the_tokens_is_saved() -> None:
    """2 layers × keys and values × 256 texts × 128 tokens × 256 numbers of 4 bytes, and copies of one layer."""
    proposal = propose(generating(256))
    cache = 2 * 2 * SAMPLES * 128 * 256 * 4

    assert proposal is not None
    assert proposal.memory is not None
    assert cache < proposal.memory.saved_bytes < 2 * cache


def test_without_a_prediction_no_figure() -> None:
    """The advice stands without it."""
    proposal = propose(nearly_full(mode="generate", new_tokens=256))

    assert proposal is not None
    assert proposal.memory is None


def test_no_figure_of_a_step_that_is_not_our_generation() -> None:
    """Nobody knows how it grows with the text."""
    proposal = propose(replace(generating(), predictor=predicted(free_mib=20).predictor))

    assert proposal is not None
    assert proposal.memory is None


@pytest.mark.parametrize(("mode", "tokens"), [("inference", 256), ("generate", None), ("generate", 1)])
def test_silent_where_nothing_can_be_shorter(mode: Any, tokens: int | None) -> None:
    """No text, or none that is longer than one token."""
    assert propose(nearly_full(mode=mode, new_tokens=tokens)) is None


def test_an_estimate_of_a_generation_is_enough() -> None:
    """``lab.advise`` reads the number of new tokens off it."""
    batch = torch.empty(64, 16, dtype=torch.int64, device="meta")
    estimate = estimate_memory(decoder(), batch, mode="generate", new_tokens=200, gpu="2GiB")
    tight = estimate_memory(
        decoder(), batch, mode="generate", new_tokens=200, gpu=f"{estimate.device_bytes * 101 // 100} B"
    )

    assert "New tokens 200 → 100" in advise(tight)["kv_cache_limit"].title
