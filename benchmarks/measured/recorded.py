"""The programs whose allocator histories others recorded: three runs of the same kind of decoder."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.measured.decoder import (
    LARGE,
    MEDIUM,
    MEDIUM_SHORT,
    VOCABULARY,
    AdamWByHand,
    Decoder,
    Sizes,
    negative_log_likelihood,
)
from benchmarks.measured.program import Program
from benchmarks.measured.t4 import keeping


def programs() -> tuple[Program, ...]:
    """One for each recorded run that is rebuilt."""
    return (
        Program(
            "decoder_medium_inference_mode_bf16",
            partial(Decoder, MEDIUM),
            partial(_tokens, 4, MEDIUM.context),
            forward,
            4,
            MEDIUM.context,
            autocast="bf16",
            grad="inference_mode",
            config=config_of(MEDIUM),
        ),
        Program(
            "decoder_large_no_grad_bf16",
            partial(Decoder, LARGE),
            partial(_tokens, 1, LARGE.context),
            forward_and_sum,
            1,
            LARGE.context,
            autocast="bf16",
            grad="no_grad",
            config=config_of(LARGE),
        ),
        Program(
            "decoder_medium_training_fp32",
            partial(Decoder, MEDIUM_SHORT),
            partial(_pairs, 4, MEDIUM_SHORT.context),
            loss,
            4,
            MEDIUM_SHORT.context,
            optimizer=_by_hand,
            config=config_of(MEDIUM_SHORT),
        ),
    )


def config_of(sizes: Sizes) -> dict[str, Any]:
    """The fields of a ``config.json`` of the same architecture."""
    return {
        "model_type": "llama",
        "hidden_size": sizes.width,
        "num_hidden_layers": sizes.layers,
        "num_attention_heads": sizes.heads,
        "intermediate_size": sizes.inner,
        "vocab_size": VOCABULARY,
        "tie_word_embeddings": False,
    }


def forward(model: nn.Module, tokens: Tensor) -> Tensor:
    """Scores of all tokens."""
    scores: Tensor = model(tokens)
    return scores


def forward_and_sum(model: nn.Module, tokens: Tensor) -> Tensor:
    """A number of each score, in float32, added up: what it was does not show in its memory."""
    scores = model(tokens)
    total: Tensor = (scores * scores).to(torch.float32).sum()
    return total


def loss(model: nn.Module, batch: Any) -> Tensor:
    """By hand; the scores live through the backward pass."""
    tokens, targets = batch
    scores = model(tokens)
    return keeping(negative_log_likelihood(scores, targets), scores)


def _by_hand(model: nn.Module) -> torch.optim.Optimizer:
    return AdamWByHand(model.parameters())


def _tokens(samples: int, length: int, device: str) -> Tensor:
    return torch.zeros((samples, length), dtype=torch.int64, device=device)


def _pairs(samples: int, length: int, device: str) -> tuple[Tensor, Tensor]:
    return _tokens(samples, length, device), _tokens(samples, length, device)
