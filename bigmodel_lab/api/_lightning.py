"""A Lightning callback that shows its training in the live dashboard."""

from __future__ import annotations

from typing import Any

import lightning

from bigmodel_lab.api import _lightning_oom
from bigmodel_lab.api._foreign_oom import ForeignOom
from bigmodel_lab.api._watch import Watch, watch
from bigmodel_lab.metrics import validation_key

_PRECISIONS = {"32-true": "fp32", "bf16-mixed": "bf16", "16-mixed": "fp16"}
"""As Lightning names them; what is left out computes in a way that no setting here has."""


class LightningCallback(lightning.Callback):
    """Watch a Lightning training: ``Trainer(callbacks=[lab.LightningCallback()])``.

    Every batch is a step, with the loss that ``training_step`` returned; what was logged in
    validation is a row an epoch. Stop in the dashboard sets ``trainer.should_stop``, pause
    waits between two batches.

    With ``on_oom="shrink"`` a batch that runs out of memory is made again in two parts, then four …, from the same
    weights and random numbers; the gradients of the parts add up to those of the whole batch, and their number is kept
    for later batches. The loss must be a mean over samples. Batch statistics and dropout masks are those of
    the parts. What ``training_step`` logs, and returns beside the loss, is that of the first part, and what it counts
    itself it counts again where it is made again; the loss in the run is that of the whole batch. With
    ``on_oom="checkpoint"`` the state of the last completed step is saved in the Trainer's ``default_root_dir``, a line
    says how to go on from it, and the original error is raised. Both work on one device with automatic optimization.

    >>> import bigmodel_lab as lab
    >>> callback = lab.LightningCallback(name="example")
    >>> callback.watch is None
    True
    """

    def __init__(self, *, on_oom: str = "raise", **settings: Any) -> None:
        """Take the settings of :func:`bigmodel_lab.watch`, without model and optimizer.

        Args:
            on_oom: What becomes of a batch that runs out of memory: ``"raise"``, ``"shrink"`` or ``"checkpoint"``.
            settings: Of the watch.

        Raises:
            ConfigError: ``on_oom`` is something else.
        """
        super().__init__()
        self._oom = ForeignOom(on_oom)
        self._in_parts: _lightning_oom.StepInParts | None = None
        self._settings = settings
        self.watch: Watch | None = None
        """The watch of the training; None before it begins and after it has ended."""

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Open the run and show the dashboard.

        Raises:
            ConfigError: ``on_oom`` cannot be had in this training.
        """
        _lightning_oom.check(self._oom, trainer, pl_module)
        planned = trainer.num_training_batches * (trainer.max_epochs or 0)
        total = int(planned) if 0 < planned < float("inf") else None
        optimizer = trainer.optimizers[0] if trainer.optimizers else None
        self.watch = watch(pl_module, optimizer, **{"total_steps": total, **self._settings})
        self.watch.__enter__()
        known = {"framework": "lightning", "gradient_accumulation_steps": trainer.accumulate_grad_batches}
        self.watch.takes(trainer.train_dataloader, **known, precision=_PRECISIONS.get(str(trainer.precision)))
        self._oom.begin(self.watch, pl_module)
        if self._oom.parts is not None:
            self._in_parts = _lightning_oom.StepInParts(self._oom, self._oom.parts, trainer, pl_module)

    def on_train_batch_start(
        self, trainer: lightning.Trainer, _module: lightning.LightningModule, _batch: Any, batch_idx: int
    ) -> None:
        """The batch has been fetched; know where the loop is, in case that memory runs out."""
        if self.watch is not None:
            self.watch.batch_has_come()
        first = batch_idx % trainer.accumulate_grad_batches == 0
        self._oom.enter("forward", first=first)
        if first:
            self._oom.remember()

    def on_before_backward(self, _trainer: lightning.Trainer, _module: Any, _loss: Any) -> None:
        """The same."""
        self._oom.enter("backward")

    def on_before_optimizer_step(self, _trainer: lightning.Trainer, _module: Any, _optimizer: Any) -> None:
        """The same."""
        self._oom.enter("optimizer")

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        _module: lightning.LightningModule,
        outputs: Any,
        batch: Any,
        _batch_idx: int,
    ) -> None:
        """Record the step and obey the dashboard."""
        self._oom.enter("evaluation")
        if self.watch is not None:
            loss = outputs.get("loss") if isinstance(outputs, dict) else outputs
            if self._in_parts is not None and self._in_parts.loss is not None:
                loss = self._in_parts.loss / trainer.accumulate_grad_batches  # as Lightning gives it
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
        self, trainer: lightning.Trainer, _module: lightning.LightningModule, exception: BaseException
    ) -> None:
        """Close the run as failed; save where that was asked for."""
        self._oom.left_by(exception, lambda: _lightning_oom.save(trainer), 'trainer.fit(model, …, ckpt_path="{path}")')
        self._end(exception)

    def _end(self, error: BaseException | None) -> None:
        watched, self.watch, self._in_parts = self.watch, None, None
        self._oom.put_back()
        if watched is not None:
            watched.__exit__(type(error) if error else None, error, None)
