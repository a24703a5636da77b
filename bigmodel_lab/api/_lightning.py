"""A Lightning callback that shows its training in the live dashboard."""

from __future__ import annotations

from typing import Any

import lightning

from bigmodel_lab.api._watch import Watch, watch
from bigmodel_lab.metrics import validation_key

_PRECISIONS = {"32-true": "fp32", "bf16-mixed": "bf16", "16-mixed": "fp16"}
"""As Lightning names them; what is left out computes in a way that no setting here has."""


class LightningCallback(lightning.Callback):
    """Watch a Lightning training: ``Trainer(callbacks=[lab.LightningCallback()])``.

    Every batch is a step, with the loss that ``training_step`` returned; what was logged in
    validation is a row an epoch. Stop in the dashboard sets ``trainer.should_stop``, pause
    waits between two batches.

    >>> import bigmodel_lab as lab
    >>> callback = lab.LightningCallback(name="example")
    >>> callback.watch is None
    True
    """

    def __init__(self, **settings: Any) -> None:
        """Take the settings of :func:`bigmodel_lab.watch`, without model and optimizer."""
        super().__init__()
        self._settings = settings
        self.watch: Watch | None = None
        """The watch of the training; None before it begins and after it has ended."""

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Open the run and show the dashboard."""
        planned = trainer.num_training_batches * (trainer.max_epochs or 0)
        total = int(planned) if 0 < planned < float("inf") else None
        optimizer = trainer.optimizers[0] if trainer.optimizers else None
        self.watch = watch(pl_module, optimizer, **{"total_steps": total, **self._settings})
        self.watch.__enter__()
        known = {"framework": "lightning", "gradient_accumulation_steps": trainer.accumulate_grad_batches}
        self.watch.takes(trainer.train_dataloader, **known, precision=_PRECISIONS.get(str(trainer.precision)))

    def on_train_batch_start(
        self, _trainer: lightning.Trainer, _module: lightning.LightningModule, _batch: Any, _batch_idx: int
    ) -> None:
        """The batch has been fetched."""
        if self.watch is not None:
            self.watch.batch_has_come()

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        _module: lightning.LightningModule,
        outputs: Any,
        batch: Any,
        _batch_idx: int,
    ) -> None:
        """Record the step and obey the dashboard."""
        if self.watch is not None:
            loss = outputs.get("loss") if isinstance(outputs, dict) else outputs
            values = {} if loss is None else {"loss": loss}
            trainer.should_stop |= self.watch.end_turn(batch, **values)

    def on_validation_epoch_end(self, trainer: lightning.Trainer, _module: lightning.LightningModule) -> None:
        """Record what was logged in validation."""
        if self.watch is not None and not trainer.sanity_checking:
            logged = {validation_key(k): v for k, v in trainer.callback_metrics.items() if k.startswith("val")}
            self.watch.log_epoch(**logged)

    def on_train_end(self, _trainer: lightning.Trainer, _module: lightning.LightningModule) -> None:
        """Close the run."""
        self._end(None)

    def on_exception(
        self, _trainer: lightning.Trainer, _module: lightning.LightningModule, exception: BaseException
    ) -> None:
        """Close the run as failed."""
        self._end(exception)

    def _end(self, error: BaseException | None) -> None:
        watched, self.watch = self.watch, None
        if watched is not None:
            watched.__exit__(type(error) if error else None, error, None)
