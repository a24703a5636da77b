"""The same training as a LightningModule: ``self.log`` of loss and accuracy, shown in tqdm's bar.

Where the package rich is installed Lightning takes its bar, which costs several times as much in a notebook.
"""

from __future__ import annotations

import logging
import warnings

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import TQDMProgressBar
from torch import Tensor
from torch.nn import functional as F

from benchmarks.loops.base import Batches, Job

TITLE = "Lightning, self.log + tqdm bar"


class _Module(LightningModule):
    def __init__(self, job: Job) -> None:
        super().__init__()
        self.model = job.model
        self.learning_rate = job.learning_rate

    def training_step(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        x, y = batch
        output = self.model(x)
        loss = F.cross_entropy(output, y)
        self.log("loss", loss, prog_bar=True)
        self.log("accuracy", output.argmax(1).eq(y).sum() / len(y), prog_bar=True)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.model.parameters(), lr=self.learning_rate)


def run(job: Job) -> None:
    """One pass; what Lightning advises about workers and devices is not printed."""
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer = Trainer(
            max_steps=job.steps,
            accelerator="cpu",
            logger=False,
            enable_checkpointing=False,
            enable_model_summary=False,
            callbacks=[TQDMProgressBar()],
        )
        trainer.fit(_Module(job), Batches(job))
