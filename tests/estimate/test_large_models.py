"""The code people really run, estimated as a whole: quantized weights, adapters, small states, generating."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

import bigmodel_lab as lab
from bigmodel_lab.estimate._generate import kv_cache_bytes
from bigmodel_lab.estimate._lora import Lora

LAYERS, WIDTH, VOCABULARY = 2, 512, 500
ADAPTED = ("q_proj", "v_proj")


def config() -> Any:
    """A small decoder of today's shape."""
    transformers = pytest.importorskip("transformers")
    return transformers.LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=WIDTH,
        intermediate_size=1376,
        num_hidden_layers=LAYERS,
        num_attention_heads=8,
        num_key_value_heads=2,
        dtype="bfloat16",
    )


def batch(samples: int = 2, length: int = 128) -> dict[str, torch.Tensor]:
    """Token numbers without memory."""
    return {name: torch.empty(samples, length, dtype=torch.int64, device="meta") for name in ("input_ids", "labels")}


def estimate(**settings: Any) -> lab.MemoryEstimate:
    """Of a step with these settings."""
    return lab.estimate_memory(config(), settings.pop("batch", batch()), **settings)


@pytest.fixture(scope="module")
def full() -> lab.MemoryEstimate:
    """Every weight learns, with AdamW."""
    return estimate()


@pytest.fixture(scope="module")
def lora() -> lab.MemoryEstimate:
    """Adapters beside weights in bf16."""
    return estimate(adapters=Lora(ADAPTED))


@pytest.fixture(scope="module")
def qlora() -> lab.MemoryEstimate:
    """Adapters beside weights in 4 bits."""
    return estimate(weights="nf4", adapters=Lora(ADAPTED))


def adapter_weights() -> int:
    """LoRA of rank 8 beside the queries (512 → 512) and the values (512 → 128) of each layer."""
    return LAYERS * 8 * ((WIDTH + WIDTH) + (WIDTH + WIDTH // 4))


def test_adapters_alone_have_states(full: lab.MemoryEstimate, lora: lab.MemoryEstimate):
    """Two fp32 numbers for each of their weights, and a count of steps for each matrix."""
    states = lora.by_category["optimizer_state"]

    assert states == pytest.approx(8 * adapter_weights(), rel=0.05)
    assert full.by_category["optimizer_state"] > 20 * states


def test_each_step_down_takes_less(full: lab.MemoryEstimate, lora: lab.MemoryEstimate, qlora: lab.MemoryEstimate):
    """Training all, adapters, adapters beside 4 bits."""
    parameters = [e.by_category["parameter"] for e in (full, lora, qlora)]

    assert full.peak_allocated_bytes > lora.peak_allocated_bytes
    assert parameters[2] < 0.75 * parameters[1]


def test_eight_bits_lie_between(lora: lab.MemoryEstimate, qlora: lab.MemoryEstimate):
    """A byte a weight is more than half a byte and less than two."""
    eight = estimate(weights="int8", adapters=Lora(ADAPTED)).by_category["parameter"]

    assert qlora.by_category["parameter"] < eight < lora.by_category["parameter"]


def test_small_states_take_a_quarter(full: lab.MemoryEstimate):
    """8-bit AdamW keeps two bytes a weight, where torch keeps two numbers of the weight's type: four bytes in bf16."""
    small = estimate(optimizer="adamw_8bit")

    assert small.by_category["optimizer_state"] == pytest.approx(full.by_category["optimizer_state"] / 2, rel=0.05)


def test_paged_states_are_not_on_the_card(full: lab.MemoryEstimate):
    """Of the large matrices only scales stay."""
    paged = estimate(optimizer="paged_adamw_8bit")

    assert paged.by_category["optimizer_state"] < 0.05 * full.by_category["optimizer_state"]


def test_training_arguments_are_taken_over():
    """Batch, number format and optimizer; what is not followed stands in the notes."""
    given = SimpleNamespace(per_device_train_batch_size=3, bf16=True, optim="adamw_8bit", packing=True)
    read = estimate(training_arguments=given)

    assert (read.micro_batch_size, read.precision) == (3, "bf16")
    assert [note for note in read.notes if "packing=True" in note]


def test_generating_takes_weights_and_cache():
    """No gradients, no states: the peak grows with the text as the cache does, and by copies of one layer of it."""
    ids = batch(length=4)["input_ids"]  # with a long one, the peak of short texts is that of the prompt
    short, long = (estimate(batch=ids, mode="generate", new_tokens=n).peak_allocated_bytes for n in (64, 1024))
    by_layer = kv_cache_bytes(config(), 2, 960)

    assert sum(by_layer) < long - short < sum(by_layer) + 4 * by_layer[0]
