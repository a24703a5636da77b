"""Evidence made by hand: a healthy run, and what may be wrong with it."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn

from bigmodel_lab.estimate import MemoryEstimate, estimate_memory
from bigmodel_lab.memory.cards import card
from bigmodel_lab.tips._predict import Predictor
from bigmodel_lab.tips.base import (
    Evidence,
    LoaderFacts,
    MemoryFacts,
    ModelFacts,
    OtherCard,
    Platform,
    StepFacts,
)
from bigmodel_lab.training import TrainConfig
from bigmodel_lab.training.recovery import OutOfMemoryFacts

GIB = 2**30
A100 = card("A100-40")
T4 = card("T4")
PLATFORM = Platform(packages=frozenset(("triton",)), processors=8, host_free_bytes=64 * GIB)
LINUX_IDLE_CARD = OtherCard(2, "NVIDIA A100-SXM4-80GB", 79 * GIB)


def healthy(**changed: Any) -> Evidence:
    """A run in bf16 with a fused optimizer that keeps an A100 busy and its memory half empty."""
    usual = Evidence(
        config=TrainConfig(optimizer="adamw", precision="bf16", optimizer_options={"fused": True}, channels_last=True),
        accelerator="cuda",
        card=A100,
        model=ModelFacts(parameters=25_000_000, trainable_parameters=25_000_000, convolutions=50),
        steps=StepFacts(200, 0.2, 320.0, data_wait_share=0.01, gpu_utilization_percent=95.0),
        memory=MemoryFacts(peak_allocated_bytes=19 * GIB, peak_reserved_bytes=20 * GIB),
        platform=PLATFORM,
        steps_left=10_000,
        documented=TrainConfig(optimizer="adamw", precision="bf16"),
        validation_losses=(1.0, 0.9, 0.8, 0.7, 0.6),
        train_losses=(1.0, 0.9, 0.8, 0.7, 0.6),
        power_watts=300.0,
        power_limit_watts=400.0,
    )
    return replace(usual, **changed)


def with_config(evidence: Evidence | None = None, **settings: Any) -> Evidence:
    """The evidence with other settings."""
    base = evidence or healthy()
    return replace(base, config=replace(base.config, **settings))


def nearly_full(**changed: Any) -> Evidence:
    """Of 40 GiB 38.5 are reserved, and all of it is tensors."""
    return healthy(memory=MemoryFacts(int(38.4 * GIB), int(38.5 * GIB)), **changed)


def fragmented(**changed: Any) -> Evidence:
    """The card is full, and a third of that lies idle."""
    return healthy(memory=MemoryFacts(26 * GIB, int(38.5 * GIB), alloc_retries=3), **changed)


def waiting(share: float, **loader: Any) -> Evidence:
    """A loop of one's own whose steps wait for their data."""
    steps = StepFacts(200, 0.2, 320.0, data_wait_share=share, gpu_utilization_percent=60.0)
    facts = LoaderFacts(**{"workers": 0, "pins_memory": False, "data_bytes": 150 * 2**20, **loader})
    return healthy(steps=steps, loader=facts, framework="plain")


def idle(seconds: float = 0.2, **changed: Any) -> Evidence:
    """The card waits for its launches."""
    steps = StepFacts(200, seconds, 320.0, data_wait_share=0.0, gpu_utilization_percent=30.0)
    return healthy(steps=steps, **changed)


def ran_out(phase: str = "backward", **facts: Any) -> OutOfMemoryFacts:
    """A request that did not fit."""
    return OutOfMemoryFacts(
        **{
            "phase": phase,
            "step": 3,
            "requested_bytes": 2 * GIB,
            "allocated_bytes": 38 * GIB,
            "reserved_bytes": 39 * GIB,
            "capacity_bytes": int(39.2 * GIB),
            **facts,
        }
    )


class Convolutions(nn.Module):
    """Few weights and large activations, in two blocks of the same kind."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.stem = nn.Conv2d(1, 16, 3, padding=1)
            self.blocks = nn.Sequential(*(_block() for _ in range(3)))
            self.head = nn.Linear(16 * 28 * 28, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Scores of ten classes, shape (samples, 10)."""
        scores: Tensor = self.head(self.blocks(self.stem(x)).flatten(1))
        return scores


class _Block(nn.Sequential):
    """A convolution between two that are none."""


def _block() -> nn.Module:
    return _Block(nn.Conv2d(16, 16, 3, padding=1), nn.GELU(), nn.Conv2d(16, 16, 1), nn.GELU())


class Layers(nn.Module):
    """Many weights and small activations."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.layers = nn.Sequential(*(nn.Linear(1024, 1024) for _ in range(12)))
            self.head = nn.Linear(1024, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Scores of ten classes, shape (samples, 10)."""
        flat = nn.functional.pad(x.flatten(1), (0, 1024 - 784))
        scores: Tensor = self.head(self.layers(flat))
        return scores


SMALL = TrainConfig(micro_batch_size=64, optimizer="adam")


@lru_cache(maxsize=4)
def estimated(model: type[nn.Module]) -> MemoryEstimate:
    """A step of 64 images, traced once."""
    batch = (torch.empty(64, 1, 28, 28, device="meta"), torch.empty(64, dtype=torch.int64, device="meta"))
    return estimate_memory(model(), batch, loss=nn.functional.cross_entropy, optimizer="adam", gpu="2GiB")


def predicted(model: type[nn.Module] = Convolutions, *, free_mib: int, **changed: Any) -> Evidence:
    """A run of 64 images on a simulated card that has so much memory for tensors.

    Args:
        model: What is trained.
        free_mib: What others leave of it, after what is left to them by courtesy.
        changed: Other fields.
    """
    whole = card("2GiB")
    roomy = whole.sized(whole.most_context.bytes + free_mib * 2**20)
    return Evidence(
        **{
            "config": SMALL,
            "accelerator": "cuda",
            "card": roomy,
            "simulated": True,
            "predictor": Predictor(estimated(model), SMALL),
            "model": ModelFacts(1, 20_000_000),
            "platform": PLATFORM,
            **changed,
        }
    )


def answering(model: type[nn.Module], *, free_mib: int) -> Evidence:
    """A model that only answers, 64 images at once, on a card with so much memory for tensors."""
    return predicted(model, free_mib=free_mib, mode="inference", predictor=Predictor(_answered(model), SMALL))


@lru_cache(maxsize=2)
def _answered(model: type[nn.Module]) -> MemoryEstimate:
    batch = torch.empty(64, 1, 28, 28, device="meta")
    return estimate_memory(model(), batch, step=lambda run, x: run(x), mode="inference", gpu="2GiB")
