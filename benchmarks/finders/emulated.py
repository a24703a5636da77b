"""A card that exists only as a sum: constant memory and so much a sample, with jitter, and an end."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import torch

CAPACITY_BYTES = 10 * 2**30
"""Of every emulated card."""


@dataclass
class EmulatedCard:
    """Runs steps of any size, and counts what a finder asked of it.

    A step of n samples takes ``(held + workspace + per_sample * n) * (1 + jitter * u)``, with u evenly spread from -1
    to 1 and drawn anew for each step; above the capacity it raises ``torch.OutOfMemoryError``. What a real card tells,
    this one tells, too: the peak of each step, and what is held when the batch is gone.
    """

    held_bytes: float
    """Weights and optimizer state."""
    workspace_bytes: float
    """Constant, and gone after each step."""
    per_sample_bytes: float
    """Activations of one sample."""
    jitter: float
    """Largest share by which a step differs from the mean."""
    chance: random.Random
    """Draws the jitter."""
    runs: list[int] = field(default_factory=list)
    """Size of each trial, in order."""
    ran: set[int] = field(default_factory=set)
    """Sizes of which at least one step ran."""
    out_of_memory: int = 0
    """Steps that did not fit."""

    @classmethod
    def with_maximum(cls, maximum: int, jitter: float, seed: int) -> EmulatedCard:
        """A card on which this is the largest size that runs in every step, whatever the jitter.

        Args:
            maximum: That size; steps of the next sizes fit only sometimes.
            jitter: Largest share by which a step differs from the mean.
            seed: Draws what is constant: 10 to 40 % of the card held, up to 2 % workspace; then the jitter.
        """
        chance = random.Random(f"{maximum} {jitter} {seed}")
        held = chance.uniform(0.1, 0.4) * CAPACITY_BYTES
        workspace = chance.uniform(0.0, 0.02) * CAPACITY_BYTES
        room = CAPACITY_BYTES / (1 + jitter) - held - workspace
        return cls(held, workspace, room / (maximum + 0.5), jitter, chance)

    def begin(self, size: int) -> None:
        """A finder tries this size now."""
        self.runs.append(size)

    def step(self, size: int) -> int:
        """One optimizer step; its peak in bytes.

        Raises:
            torch.OutOfMemoryError: It does not fit.
        """
        mean = self.held_bytes + self.workspace_bytes + self.per_sample_bytes * size
        peak = mean * (1 + self.jitter * self.chance.uniform(-1, 1))
        if peak > CAPACITY_BYTES:
            self.out_of_memory += 1
            message = "CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has a total capacity of 10.00 GiB"
            raise torch.OutOfMemoryError(message)
        self.ran.add(size)
        return int(peak)
