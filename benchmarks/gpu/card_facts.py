"""What the card at hand is, and what a process loses on it before its first tensor."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from benchmarks.gpu.measuring import CudaCard
from bigmodel_lab.memory.cards import Card


@dataclass(frozen=True)
class CardFacts:
    """A card with its software; what a row of cards.json needs."""

    name: str
    """As torch gives it."""
    total_bytes: int
    """``total_memory`` of torch."""
    capability: tuple[int, int]
    """Compute capability."""
    multiprocessors: int
    """How many it has."""
    context_bytes: int
    """In use before the first tensor: the context, and other processes if there are any."""
    cublas_workspace_bytes: int
    """What the first matrix product took from the allocator and kept."""
    cublaslt_workspace_bytes: int
    """What the first product with a bias took and kept besides."""
    torch_version: str
    """With its CUDA."""
    cudnn_version: int | None
    """As torch gives it."""
    settings: str
    """PYTORCH_ALLOC_CONF; empty for the defaults."""

    @property
    def card(self) -> Card:
        """For estimates."""
        known = (self.name, self.total_bytes, self.capability, self.context_bytes)
        return Card.exact(*known, "measured here", self.multiprocessors)

    def __str__(self) -> str:
        return (
            f"{self.name}, {self.total_bytes:,} B, compute capability {self.capability[0]}.{self.capability[1]}, torch "
            f"{self.torch_version}, cuDNN {self.cudnn_version}; context {self.context_bytes:,} B, cuBLAS workspace "
            f"{self.cublas_workspace_bytes:,} B, cuBLASLt {self.cublaslt_workspace_bytes:,} B"
        )


def card_facts(card: CudaCard) -> CardFacts:
    """Ask and measure; call it before anything else uses the card.

    Args:
        card: Nothing is on it yet.
    """
    context = card.outside_bytes() or 0
    properties = torch.cuda.get_device_properties(card.device)
    cublas, cublaslt = _workspaces(card)
    return CardFacts(
        name=properties.name,
        total_bytes=properties.total_memory,
        capability=(properties.major, properties.minor),
        multiprocessors=properties.multi_processor_count,
        context_bytes=context,
        cublas_workspace_bytes=cublas,
        cublaslt_workspace_bytes=cublaslt,
        torch_version=torch.__version__,
        cudnn_version=torch.backends.cudnn.version(),
        settings=os.environ.get("PYTORCH_ALLOC_CONF", os.environ.get("PYTORCH_CUDA_ALLOC_CONF", "")),
    )


def _workspaces(card: CudaCard) -> tuple[int, int]:
    a = torch.ones(256, 256, device=card.device, dtype=torch.float16)
    bias = torch.ones(256, device=card.device, dtype=torch.float16)
    product = _kept(card, lambda: torch.mm(a, a))
    with_bias = _kept(card, lambda: torch.addmm(bias, a, a))  # torch takes cuBLASLt where it can add a bias at once
    return product, with_bias - product


def _kept(card: CudaCard, compute: Callable[[], Tensor]) -> int:
    """Bytes that are still allocated when the result is gone."""
    card.clear()
    before = card.stats()["allocated_bytes.all.current"]
    compute()
    return card.stats()["allocated_bytes.all.current"] - before
