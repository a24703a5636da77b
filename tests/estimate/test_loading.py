"""Peaks while loading, by rule."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from bigmodel_lab.errors import UnknownNameError
from bigmodel_lab.estimate._loading import loading_peak
from bigmodel_lab.estimate._quantized import EightBit, FourBit, quantize_weights

WEIGHTS = 4 * 100 * 100
"""Of :func:`model`."""
BYTES = 4 * WEIGHTS
LARGEST = 4 * 100 * 100
HALF = torch.bfloat16


def model(dtype: torch.dtype = torch.float32) -> nn.Sequential:
    """Four square layers without memory."""
    layers = (nn.Linear(100, 100, bias=False, dtype=dtype, device="meta") for _ in range(4))
    return nn.Sequential(*layers)


@pytest.mark.parametrize(
    ("way", "card", "host", "mapped"),
    [
        ("state_dict", BYTES, 2 * BYTES, 0),
        ("state_dict_mmap", BYTES, 0, BYTES),
        ("state_dict_cuda", 2 * BYTES, BYTES, 0),
        ("safetensors", BYTES, BYTES, BYTES),
        ("from_pretrained", BYTES, 2 * BYTES, BYTES),
        ("from_pretrained_full", BYTES, 2 * BYTES, 0),
        ("device_map", BYTES, BYTES, BYTES),
    ],
)
def test_peak_by_way(way: str, card: int, host: int, mapped: int):
    """Of a model of four tensors, all of which are read at the same time where four are."""
    peak = loading_peak(model(), way)

    assert (peak.card_bytes, peak.host_bytes, peak.mapped_bytes) == (card, host, mapped)


@pytest.mark.parametrize("way", ["from_pretrained", "device_map"])
def test_only_four_tensors_are_read_at_once(way: str):
    """A deep model needs no more room on the host for reading than a shallow one."""
    deep = nn.Sequential(*(layer for _ in range(10) for layer in model()))
    held = loading_peak(deep, "safetensors").host_bytes if way == "from_pretrained" else 0

    assert loading_peak(deep, way).host_bytes - held == 4 * LARGEST


def test_a_checkpoint_may_have_another_type():
    """An fp32 file beside a model in bf16."""
    peak = loading_peak(model(HALF), "state_dict", checkpoint_dtype=torch.float32)

    assert peak.host_bytes == BYTES // 2 + BYTES
    assert peak.card_bytes == BYTES // 2


def test_whole_numbers_are_stored_as_they_are():
    """A counter of a batch normalization stays an int64."""
    norm = nn.BatchNorm1d(8)
    converted = loading_peak(norm, "state_dict_mmap", checkpoint_dtype=HALF).mapped_bytes

    assert converted == 4 * 8 * 2 + 8


def test_a_shared_weight_counts_once():
    """On the card and in the file."""
    shared = model()
    shared[1].weight = shared[0].weight

    assert loading_peak(shared, "device_map").card_bytes == BYTES * 3 // 4


def test_quantizing_needs_one_weight_as_it_was():
    """Each goes to the card in its own type before it is packed; the next comes after."""
    quantized = model(HALF)
    quantize_weights(quantized, FourBit(skip=()))
    packed = 4 * FourBit().stored_bytes(100 * 100)

    assert loading_peak(quantized, "device_map").card_bytes == packed + 2 * 100 * 100


def test_eight_bits_are_quantized_from_16():
    """Bitsandbytes casts to fp16 first, whatever came."""
    quantized = model(torch.float32)
    quantize_weights(quantized, EightBit(skip=()))

    assert loading_peak(quantized, "device_map").card_bytes == 4 * EightBit().stored_bytes(100, 100) + 2 * 100 * 100


def test_the_rule_of_state_dict_is_what_really_happens(tmp_path: Path):
    """A model and its checkpoint, both read: as many bytes as their storages have together."""
    built = nn.Sequential(nn.Linear(50, 50), nn.Linear(50, 50))
    torch.save(built.state_dict(), tmp_path / "weights.pt")
    loaded = torch.load(tmp_path / "weights.pt", weights_only=True)
    storages = {
        t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in [*built.parameters(), *loaded.values()]
    }

    assert loading_peak(built, "state_dict").host_bytes == sum(storages.values())


def test_each_way_says_where_its_peak_comes_from():
    """In a sentence."""
    assert str(loading_peak(model(), "device_map").rule).endswith("quantized there one by one.")


def test_an_empty_model_takes_nothing():
    """A layer without weights."""
    assert loading_peak(nn.ReLU(), "device_map").card_bytes == 0


def test_an_unknown_way_is_refused():
    """With those that exist."""
    with pytest.raises(UnknownNameError, match="no way to load named 'pickle'"):
        loading_peak(model(), "pickle")
