"""The programs whose peaks were measured on a Tesla T4, as their sources describe them.

Each peak is that of the second step, with the model's output alive through the backward pass. The library's own copy of
keys and values for later tokens is on where its authors left it on.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.measured.program import Program

TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj")
"""Layers with adapters."""


def programs() -> tuple[Program, ...]:
    """One for each measured row."""
    return (*_trained_in_full(), *_with_adapters())


def _trained_in_full() -> tuple[Program, ...]:
    """Weights in fp32, bf16 autocast, AdamW."""
    gpt2 = partial(_library_model, "GPT2LMHeadModel", "GPT2Config")
    distilbert = partial(_library_model, "DistilBertModel", "DistilBertConfig")
    bert = partial(_library_model, "BertModel", "BertConfig")
    resnet = partial(_library_model, "ResNetForImageClassification", "ResNetConfig", num_labels=1000)
    common = {"autocast": "bf16"}
    return (
        *(
            Program(f"gpt2_{b}x{t}", gpt2, partial(_labelled, b, t), own_loss, b, t, known_as="gpt2", **common)
            for b, t in ((4, 128), (8, 256))
        ),
        Program(
            "distilbert_4x128",
            distilbert,
            partial(_tokens, 4, 128),
            squared_states,
            4,
            128,
            known_as="distilbert-base-uncased",
            **common,
        ),
        Program(
            "bert_8x256",
            bert,
            partial(_tokens, 8, 256),
            squared_states,
            8,
            256,
            known_as="bert-base-uncased",
            **common,
        ),
        Program(
            "resnet50_16x224",
            resnet,
            partial(_images, 16),
            cross_entropy,
            16,
            image=224,
            known_as="resnet50",
            autocast="bf16",
        ),
    )


_LLAMA_360M = {
    "model_type": "llama",
    "hidden_size": 960,
    "num_hidden_layers": 32,
    "num_attention_heads": 15,
    "num_key_value_heads": 5,
    "intermediate_size": 2560,
    "vocab_size": 49152,
    "max_position_embeddings": 8192,
    "tie_word_embeddings": True,
}
_QWEN2_1_5B = {
    "model_type": "qwen2",
    "hidden_size": 1536,
    "num_hidden_layers": 28,
    "num_attention_heads": 12,
    "num_key_value_heads": 2,
    "intermediate_size": 8960,
    "vocab_size": 151936,
    "max_position_embeddings": 32768,
    "tie_word_embeddings": True,
}
_LLAMA_1B = {
    "model_type": "llama",
    "hidden_size": 2048,
    "num_hidden_layers": 22,
    "num_attention_heads": 32,
    "num_key_value_heads": 4,
    "intermediate_size": 5632,
    "vocab_size": 32000,
    "max_position_embeddings": 2048,
    "tie_word_embeddings": False,
}


_CONFIGURATIONS = {"llama": "LlamaConfig", "qwen2": "Qwen2Config"}


def _with_adapters() -> tuple[Program, ...]:
    """LoRA in fp32 beside frozen weights in fp16 or nf4, no autocast, checkpointing without re-entry."""
    return (
        _adapted("llama360m_eager_1x4096", _LLAMA_360M, (1, 4096), "eager"),
        _adapted("llama360m_sdpa_1x4096", _LLAMA_360M, (1, 4096), "sdpa"),
        _adapted("qwen2_eager_2x1024", _QWEN2_1_5B, (2, 1024), "eager"),
        _adapted("llama1b_nf4_sdpa_2x1024", _LLAMA_1B, (2, 1024), "sdpa", weights="nf4"),
    )


def _adapted(
    name: str, config: Mapping[str, Any], size: tuple[int, int], attention: str, *, weights: str = "fp16"
) -> Program:
    """``size``: samples, and tokens of each."""
    fields = {key: value for key, value in config.items() if key != "model_type"}
    return Program(
        name,
        partial(_checkpointed, _CONFIGURATIONS[config["model_type"]], attention, fields),
        partial(_labelled, *size),
        own_loss,
        *size,
        weights=weights,
        adapter_rank=32,
        checkpointing=True,
        attention=attention,
        config=config,
    )


def _library_model(head: str, configuration: str, **values: Any) -> nn.Module:
    with torch.device("cpu"):  # whatever the package makes while it is imported must not end up without numbers
        import transformers

        kind, settings = getattr(transformers, head), getattr(transformers, configuration)
    model: nn.Module = kind(settings(**values))
    vars(model)["loss_type"] = "ForCausalLM"  # GPT-2's class does not say it; the others' losses are computed here
    return model


def _checkpointed(configuration: str, attention: str, fields: Mapping[str, Any]) -> nn.Module:
    """In fp16, with the library's own checkpointing, each key and value written out for every head that uses it."""
    with torch.device("cpu"):  # as above
        import transformers

        _register_expanded()
        settings = getattr(transformers, configuration)(use_cache=False, **fields)
        head = transformers.AutoModelForCausalLM
    way = _EXPANDED if attention == "sdpa" else attention
    model: Any = head.from_config(settings, attn_implementation=way, dtype=torch.float16)
    model.activation_checkpointing_enable({"use_reentrant": False})
    causal: nn.Module = model
    return causal


_EXPANDED = "sdpa_expanded"


def _register_expanded() -> None:
    """Newer versions of the library leave the expanding to PyTorch's own function, which then computes otherwise."""
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    AttentionInterface.register(_EXPANDED, _expanded)
    AttentionMaskInterface.register(_EXPANDED, sdpa_mask)


def _expanded(
    module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **settings: Any
) -> tuple[Tensor, None]:
    """Queries (B, heads, T, features), keys and values of fewer heads, to (B, T, heads, features)."""
    key, value = (_every_head(x, module.num_key_value_groups) for x in (key, value))
    attended = nn.functional.scaled_dot_product_attention(
        query, key, value, attn_mask=attention_mask, scale=settings["scaling"], is_causal=attention_mask is None
    )
    return attended.transpose(1, 2).contiguous(), None


def _every_head(x: Tensor, groups: int) -> Tensor:
    samples, heads, length, features = x.shape
    written = x[:, :, None].expand(samples, heads, groups, length, features)
    return written.reshape(samples, heads * groups, length, features)


def _labelled(samples: int, length: int, device: str) -> dict[str, Tensor]:
    tokens = torch.zeros((samples, length), dtype=torch.int64, device=device)
    return {"input_ids": tokens, "labels": tokens}


def _tokens(samples: int, length: int, device: str) -> dict[str, Tensor]:
    return {"input_ids": torch.zeros((samples, length), dtype=torch.int64, device=device)}


def _images(samples: int, device: str) -> tuple[Tensor, Tensor]:
    x = torch.zeros((samples, 3, 224, 224), device=device)
    return x, torch.zeros(samples, dtype=torch.int64, device=device)


def own_loss(model: nn.Module, batch: Any) -> Tensor:
    """The loss that the model returns."""
    output = model(**batch)
    return keeping(output.loss, [value for name, value in output.items() if name != "loss"])


def squared_states(model: nn.Module, batch: Any) -> Tensor:
    """Mean square of the last hidden states, in float32."""
    output = model(**batch)
    return keeping(output.last_hidden_state.float().pow(2).mean(), list(output.values()))


def cross_entropy(model: nn.Module, batch: Any) -> Tensor:
    """Of the model's scores."""
    x, y = batch
    output = model(x)
    return keeping(nn.functional.cross_entropy(output.logits, y), list(output.values()))


def keeping(loss: Tensor, outputs: Any) -> Tensor:
    """The loss, which keeps these outputs alive until the backward pass is over, as a loop does that gives them a name."""
    vars(loss)["outputs"] = outputs
    return loss
