"""What is special about the large models that the Transformers library defines."""

from __future__ import annotations

import sys

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional as F

from bigmodel_lab.errors import ConfigError, MissingPackageError, UnknownNameError
from bigmodel_lab.subjects import SUBJECTS
from bigmodel_lab.subjects._transformers import library_model, one_sequence_a_row, tokens

GPT = {
    "gpt2": (12, 768, 12),
    "gpt2_medium": (24, 1024, 16),
    "gpt2_large": (36, 1280, 20),
    "gpt2_xl": (48, 1600, 25),
    "gpt3_6_7b": (32, 4096, 32),
    "gpt3_13b": (40, 5120, 40),
}
"""Layers, width and heads of the decoders."""
TRANSFORMERS = (*GPT, "bert_base", "bert_large", "vit_b_16")
TINY_GPT = {"n_layer": 2, "n_embd": 16, "n_head": 2, "vocab_size": 40, "n_positions": 16}
TINY_BERT = {
    "num_hidden_layers": 1,
    "hidden_size": 16,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "vocab_size": 40,
}


def decoder_weights(layers: int, width: int, positions: int) -> int:
    """GPT-2's weights from its shapes: 12 w² + 13 w a layer, the embeddings, and the last norm."""
    return layers * (12 * width**2 + 13 * width) + (50_257 + positions) * width + 2 * width


@pytest.fixture
def no_transformers(monkeypatch: pytest.MonkeyPatch):
    """As where the package is not installed."""
    monkeypatch.setitem(sys.modules, "transformers", None)


# ---------------------------------------------------------------- published figures


@pytest.mark.parametrize("name", GPT)
def test_weights_of_a_decoder_follow_from_its_shape(name: str):
    """The number that a decoder's file states is that of layers and width."""
    layers, width, _ = GPT[name]
    subject = SUBJECTS.get(name)

    assert subject.parameters == decoder_weights(layers, width, subject.sizes["length"])


@pytest.mark.parametrize("name", GPT)
def test_shape_of_a_decoder_is_the_published_one(name: str):
    """Its configuration has these layers, this width and these heads."""
    with torch.device("meta"):
        config = SUBJECTS.get(name).build().config

    assert (config.n_layer, config.n_embd, config.n_head) == GPT[name]


@pytest.mark.parametrize("name", TRANSFORMERS)
def test_they_ask_for_the_extra(name: str):
    """Each says which package it needs."""
    assert SUBJECTS.get(name).package == "transformers"


# ---------------------------------------------------------------- batches


@pytest.mark.parametrize("name", ["bert_base", "gpt2"])
def test_a_short_batch_can_be_asked_for(name: str):
    """Two samples of 16 tokens, as in the measurements that are published."""
    batch = SUBJECTS.get(name).example(2, length=16)

    assert {key: (tuple(t.shape), t.dtype) for key, t in batch.items()} == {
        "input_ids": ((2, 16), torch.int64),
        "labels": ((2, 16), torch.int64),
    }


def test_labels_are_the_tokens():
    """A causal model learns the tokens themselves; it shifts them on its own."""
    batch = tokens(1, length=4, longest=8)

    assert torch.equal(batch["input_ids"], batch["labels"])
    assert batch["input_ids"] is not batch["labels"]


@pytest.mark.parametrize(("name", "longest"), [("bert_base", 512), ("gpt2", 1024), ("gpt3_13b", 2048)])
def test_too_many_tokens_are_refused(name: str, longest: int):
    """A model has a row for each position, and no more."""
    with pytest.raises(ConfigError, match=f"knows {longest:} positions"):
        SUBJECTS.get(name).example(1, length=longest + 1)


def test_images_are_of_the_published_size():
    """ViT has one position for each square of an image, so that its size is fixed."""
    subject = SUBJECTS.get("vit_b_16")

    assert dict(subject.sizes) == {}
    assert {key: tuple(t.shape) for key, t in subject.example(3).items()} == {
        "pixel_values": (3, 3, 224, 224),
        "labels": (3,),
    }


# ---------------------------------------------------------------- loss


def test_loss_of_a_decoder_is_that_of_the_next_token():
    """Cross-entropy of each place's scores and the token after it."""
    subject = SUBJECTS.get("gpt2")
    model = subject.build(**TINY_GPT).eval()
    ids = torch.arange(12).reshape(2, 6)
    scores = model(input_ids=ids).logits

    expected = F.cross_entropy(scores[:, :-1].flatten(0, 1), ids[:, 1:].flatten())
    assert torch.allclose(subject.loss(model, {"input_ids": ids, "labels": ids}), expected)


def test_loss_of_an_encoder_is_that_of_every_label():
    """Cross-entropy of each place's scores and its own label."""
    subject = SUBJECTS.get("bert_base")
    model = subject.build(**TINY_BERT).eval()
    ids = torch.arange(1, 13).reshape(2, 6)
    scores = model(input_ids=ids).logits

    expected = F.cross_entropy(scores.flatten(0, 1), ids.flatten())
    assert torch.allclose(subject.loss(model, {"input_ids": ids, "labels": ids}), expected)


def test_no_keys_and_values_are_kept_in_training():
    """Nothing is generated, so the output has no cache."""
    model = SUBJECTS.get("gpt2").build(**TINY_GPT)

    assert model(input_ids=torch.ones(1, 4, dtype=torch.int64)).past_key_values is None


def test_two_models_have_weights_of_their_own():
    """Random ones; nothing is downloaded."""
    first, second = (SUBJECTS.get("gpt2").build(**TINY_GPT) for _ in range(2))

    assert not torch.equal(first.transformer.h[0].attn.c_attn.weight, second.transformer.h[0].attn.c_attn.weight)


# ---------------------------------------------------------------- attention


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_attention_can_be_chosen(attention: str):
    """The fused function is the default; both give a loss."""
    model = SUBJECTS.get("gpt2").build(**TINY_GPT, attention=attention)

    assert model.config._attn_implementation == attention
    assert SUBJECTS.get("gpt2").loss(model, tokens(1, length=4, longest=16)).isfinite()


def test_fused_attention_is_the_default():
    """As in the library."""
    with torch.device("meta"):
        assert SUBJECTS.get("vit_b_16").build().config._attn_implementation == "sdpa"


def test_an_unknown_attention_is_refused():
    """With those that exist."""
    with pytest.raises(UnknownNameError, match="no attention named 'flash'"):
        library_model("GPT2LMHeadModel", "GPT2Config", attention="flash")


# ---------------------------------------------------------------- tensors without numbers


def masks_made(model: nn.Module, ids: torch.Tensor) -> list[torch.Tensor | None]:
    """What the first block of a decoder gets as its mask."""
    seen = []
    hook = model.transformer.h[0].register_forward_pre_hook(lambda _, given: seen.append(given[2]))
    SUBJECTS.get("gpt2").loss(model, {"input_ids": ids, "labels": ids})
    hook.remove()
    return seen


def test_no_mask_is_made_for_rows_of_one_sequence():
    """With numbers, and without them: attention runs by its fastest kernel."""
    model = SUBJECTS.get("gpt2").build(**TINY_GPT)
    assert masks_made(model, torch.ones(2, 8, dtype=torch.int64)) == [None]

    with FakeTensorMode(), torch.device("cpu"):
        stand_in = SUBJECTS.get("gpt2").build(**TINY_GPT)
        assert masks_made(stand_in, torch.ones(2, 8, dtype=torch.int64)) == [None]


def test_packed_rows_with_numbers_still_get_their_mask():
    """Only tensors without numbers are answered for."""
    masks = pytest.importorskip("transformers.masking_utils")
    found = []

    class Asks(nn.Module):
        """Asks as the models of the library do."""

        def forward(self, positions: torch.Tensor) -> None:
            """Whether several sequences lie in a row."""
            found.append(masks.find_packed_sequence_indices(positions))

    packed = torch.tensor([[0, 1, 2, 0, 1]])
    asks = one_sequence_a_row(Asks())
    asks(packed)
    asks(packed.to("meta"))

    assert found[0].tolist() == [[0, 0, 0, 1, 1]]
    assert found[1] is None


def test_the_library_is_as_before_afterwards():
    """Also after an error inside, and where one model stands within another."""
    masks = pytest.importorskip("transformers.masking_utils")
    before = masks.find_packed_sequence_indices
    model = one_sequence_a_row(nn.Sequential(one_sequence_a_row(nn.Linear(2, 2))))
    model(torch.zeros(1, 2))

    assert masks.find_packed_sequence_indices is before
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        model(torch.zeros(1, 3))
    assert masks.find_packed_sequence_indices is before


# ---------------------------------------------------------------- without the package


def test_without_the_package_building_names_the_extra(no_transformers: None):
    """The message is the install line."""
    with pytest.raises(MissingPackageError, match=r'pip install "bigmodel_lab\[subjects\]"'):
        SUBJECTS.get("gpt2").build()


def test_without_the_package_a_batch_can_be_made(no_transformers: None):
    """Only building needs it."""
    assert SUBJECTS.get("bert_large").example(1)["input_ids"].shape == (1, 512)
