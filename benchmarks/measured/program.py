"""A program whose peak somebody measured: what was run, so that any estimator can be asked about it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor, nn

PEAKS = Path(__file__).with_name("peaks.json")
"""What was measured, each row with its source."""


@dataclass(frozen=True)
class Peak:
    """What the caching allocator of a card was seen to reach."""

    name: str
    """Of the program."""
    card: str
    """Kind of card."""
    allocated_bytes: int
    """Most in use."""
    reserved_bytes: int
    """Most held from the driver."""
    source: str
    """Who measured it."""
    kind: str = "real"
    """``"real"``, ``"recorded"`` or ``"emulated"``."""


@dataclass(frozen=True)
class Program:
    """What was run: enough for a library that traces, and for a formula that knows only sizes."""

    name: str
    """As in the peaks."""
    build: Callable[[], nn.Module]
    """The model in its number format, without adapters; on whatever device is the default."""
    batch: Callable[[str], Any]
    """One batch on a device."""
    step: Callable[[nn.Module, Any], Tensor]
    """The loss; of inference, the output."""
    samples: int
    """Samples of one batch."""
    length: int | None = None
    """Tokens of a sample; None where there are none."""
    image: int | None = None
    """Width of an image; None where there is none."""
    autocast: str = "fp32"
    """Number format of the forward pass: ``"fp32"`` (no autocast), ``"tf32"``, ``"bf16"`` or ``"fp16"``."""
    weights: str = "fp32"
    """How weights are stored: ``"fp32"``, ``"fp16"`` or ``"nf4"``."""
    optimizer: str | Callable[[nn.Module], Any] = "adamw"
    """Name in ``torch.optim``, or what makes one."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Keywords of the named optimizer."""
    micro_batches: int = 1
    """Passes of one optimizer step, each over such a batch."""
    adapter_rank: int = 0
    """Of LoRA on queries, keys, values and outputs; 0: all weights learn."""
    checkpointing: bool = False
    """Blocks are computed again in the backward pass."""
    attention: str = ""
    """``"eager"`` or ``"sdpa"``; empty where a program has its own way or none."""
    grad: str = "train"
    """``"train"``, or of inference ``"inference_mode"`` or ``"no_grad"``."""
    known_as: str = ""
    """Name by which tools that carry a table of models know this one."""
    config: Mapping[str, Any] = field(default_factory=dict)
    """Fields of its ``config.json``, for tools that read nothing else."""

    @property
    def is_training(self) -> bool:
        """There is a backward pass."""
        return self.grad == "train"


def measured_peaks() -> dict[str, Peak]:
    """The committed rows by the names of their programs.

    >>> measured_peaks()["gpt2_4x128"].allocated_bytes
    2705153536
    """
    kept = json.loads(PEAKS.read_text("utf-8"))
    return {
        row["name"]: Peak(
            row["name"], row["card"], row["allocated"], row["reserved"], kept["sources"][row["source"]], row["kind"]
        )
        for row in kept["rows"]
    }
