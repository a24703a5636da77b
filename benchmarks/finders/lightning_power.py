"""Lightning's ``Tuner.scale_batch_size`` as it is set by default: doubling."""

from __future__ import annotations

import logging
import warnings
from tempfile import TemporaryDirectory

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.tuner import Tuner
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from benchmarks.finders.emulated import EmulatedCard

TITLE = "Lightning, power"
_SAMPLES = 10**6


class _Numbers(Dataset[Tensor]):
    """Many samples of no content."""

    def __len__(self) -> int:
        return _SAMPLES

    def __getitem__(self, index: int) -> Tensor:
        return torch.zeros(1)


class _Module(LightningModule):
    """Trains one weight; its steps run on the emulated card."""

    def __init__(self, card: EmulatedCard) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)
        self.batch_size = 2
        self.card = card

    def on_train_start(self) -> None:
        self.card.begin(self.batch_size)

    def training_step(self, batch: Tensor) -> Tensor:
        self.card.step(self.batch_size)
        loss: Tensor = self.layer(batch).sum()
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.0)

    def train_dataloader(self) -> DataLoader[Tensor]:
        return DataLoader(_Numbers(), batch_size=None)  # the content of a batch does not matter


def find(card: EmulatedCard) -> int:
    """What the tuner returns."""
    return search(card, "power")


def search(card: EmulatedCard, mode: str) -> int:
    """As :func:`find`, in any mode; everything else is Lightning's default.

    Args:
        card: The emulated card.
        mode: ``"power"`` or ``"binsearch"``.
    """
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    with TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer = Trainer(
            accelerator="cpu",
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            max_epochs=1,
            default_root_dir=folder,
        )
        found = Tuner(trainer).scale_batch_size(_Module(card), mode=mode)
    assert found is not None
    return found
