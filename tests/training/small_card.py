"""Runs on a simulated card with very little memory."""

from __future__ import annotations

import torch

from bigmodel_lab._virtual_gpu import VirtualGpu
from bigmodel_lab._virtual_gpu.device_memory import VirtualMemory
from bigmodel_lab.data import from_arrays
from bigmodel_lab.memory.cards import card
from bigmodel_lab.training import DeviceChoice, TrainConfig, Trainer
from bigmodel_lab.training.recovery import Recovery
from tests.training.fakes import FakeLog

MIB = 2**20


class Wide(torch.nn.Module):
    """Few weights and large activations, with a batch norm and dropout."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.features = torch.nn.Sequential(
                torch.nn.Conv2d(1, 16, 3, padding=1),
                torch.nn.BatchNorm2d(16),
                torch.nn.ReLU(),
                torch.nn.Conv2d(16, 16, 3, padding=1),
                torch.nn.ReLU(),
                torch.nn.Dropout(0.2),
            )
            self.head = torch.nn.Linear(16 * 28 * 28, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Scores of ten classes, shape (samples, 10)."""
        scores: torch.Tensor = self.head(self.features(x).flatten(1))
        return scores


def small_gpu(free_mib: int) -> VirtualGpu:
    """A card that has so much for tensors beside its context."""
    whole = card("2GiB")
    return VirtualGpu(whole.sized(whole.most_context.bytes + free_mib * MIB))


def trainer_on(gpu: VirtualGpu, log: FakeLog, model: torch.nn.Module | None = None, **settings: object) -> Trainer:
    """A trainer whose model lies on the card; to be used inside ``with gpu``."""
    given = {"epochs": 1, "micro_batch_size": 128, "optimizer": "adam", **settings}
    numbers = torch.Generator().manual_seed(4)
    images = from_arrays((torch.rand(400, 1, 28, 28, generator=numbers), torch.arange(400) % 10))
    choice = DeviceChoice("cpu", "a test", capability=gpu.card.capability)
    made = Trainer(
        model or Wide(),
        images,
        TrainConfig(**given),  # type: ignore[arg-type]
        log,  # type: ignore[arg-type]
        device=choice,
        memory=VirtualMemory(gpu),
    )
    gpu.adopt(made.model, made.optimizer)
    return made


def run_on(free_mib: int, recovery: Recovery | None, **settings: object) -> tuple[Trainer, FakeLog]:
    """A whole run on a card with so much memory."""
    gpu, log = small_gpu(free_mib), FakeLog()
    with gpu:
        made = trainer_on(gpu, log, **settings)
        made.recover_by(recovery)
        made.run()
    return made, log
