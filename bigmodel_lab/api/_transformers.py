# ruff: noqa: ARG002 (the library names the arguments of its hooks)
"""A callback of the Hugging Face Trainer that shows its training in the live dashboard."""

from __future__ import annotations

from contextlib import ExitStack
from functools import wraps
from types import TracebackType
from typing import Any

import transformers

from bigmodel_lab.api import _transformers_oom
from bigmodel_lab.api._foreign_oom import ForeignOom
from bigmodel_lab.api._watch import Watch, watch
from bigmodel_lab.metrics import validation_key

_NOT_VALUES = ("epoch", "step", "total_flos")


class TransformersCallback(transformers.TrainerCallback):
    """Watch a Hugging Face training: ``Trainer(..., callbacks=[lab.TransformersCallback()])``.

    Every optimizer step is a step; loss, learning rate and gradient norm come when the Trainer logs
    them (``logging_steps``). Stop in the dashboard ends the training after the step, pause waits there.

    With ``on_oom="shrink"`` a batch that runs out of memory is made again in two parts, then four …, from the same
    weights and random numbers; the gradients of the parts add up to those of the whole batch, and their number is kept
    for later batches. The loss must be a mean over samples, or be divided by ``num_items_in_batch``; which of them it is
    is measured. Batch statistics and dropout masks are those of the parts. With ``on_oom="checkpoint"`` the state of the last completed step is
    saved in ``output_dir``, a line says how to go on from it, and the original error is raised. Both need
    :meth:`attach`, and one device.

    >>> import bigmodel_lab as lab
    >>> callback = lab.TransformersCallback(name="example")
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
        self._oom = ForeignOom(on_oom)
        self._trainer: Any = None
        self._settings = settings
        self.watch: Watch | None = None
        """The watch of the training; None before it begins and after it has ended."""

    def attach(self, trainer: Any) -> Any:
        """Be with a Trainer whose trainings may run out of memory; also adds the callback where it is missing.

        ``trainer.train`` is wrapped from now on, so that errors are seen here: a run that fails is closed as failed.
        ``training_step`` and ``compute_loss`` are wrapped only while it trains.

        Args:
            trainer: A ``transformers.Trainer``, before its ``train()``.

        Returns:
            The same Trainer: ``callback.attach(trainer).train()``.
        """
        if self not in trainer.callback_handler.callbacks:
            trainer.add_callback(self)
        if self._trainer is trainer:
            return trainer
        self._trainer, train = trainer, trainer.train

        @wraps(train)
        def attached(*args: Any, **named: Any) -> Any:
            with ExitStack() as stack:
                stack.push(self._end)
                return train(*args, **named)

        trainer.train = attached
        return trainer

    def on_train_begin(self, args: Any, state: Any, control: Any, **parts: Any) -> None:
        """Open the run and show the dashboard.

        Raises:
            ConfigError: ``on_oom`` cannot be had in this training.
        """
        _transformers_oom.check(self._oom, self._trainer)
        self._samples = args.train_batch_size * args.gradient_accumulation_steps
        settings = {"total_steps": state.max_steps or None, **self._settings}
        self.watch = watch(parts.get("model"), parts.get("optimizer"), **settings)
        self.watch.__enter__()
        known = {
            "framework": "transformers",
            "micro_batch_size": args.train_batch_size,
            "gradient_accumulation_steps": args.gradient_accumulation_steps,
            "precision": "bf16" if args.bf16 else "fp16" if args.fp16 else "tf32" if args.tf32 else "fp32",
        }
        self.watch.takes(parts.get("train_dataloader"), **known)
        if self._trainer is not None:
            self._oom.begin(self.watch, self._trainer.model)
        if self._trainer is not None and self._oom.parts is not None:
            _transformers_oom.StepInParts(self._oom, self._oom.parts, self._trainer)

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **parts: Any) -> None:
        """Know where the loop is, in case that memory runs out."""
        self._oom.remember()

    def on_step_begin(self, args: Any, state: Any, control: Any, **parts: Any) -> None:
        """The batches of the step have been fetched; the same."""
        if self.watch is not None:
            self.watch.batch_has_come()
        self._oom.enter("forward", first=True)
        if not float(state.epoch or 0).is_integer():  # else the order of the epoch is drawn, which resuming does again
            self._oom.remember()

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **parts: Any) -> None:
        """The same."""
        self._oom.enter("optimizer")

    def on_step_end(self, args: Any, state: Any, control: Any, **parts: Any) -> None:
        """Record the step and obey the dashboard."""
        self._oom.enter("evaluation")
        if self.watch is not None:
            control.should_training_stop |= self.watch.end_step(self._samples)

    def on_log(self, args: Any, state: Any, control: Any, **parts: Any) -> None:
        """Record what the Trainer logged."""
        logged = {k: v for k, v in (parts.get("logs") or {}).items() if isinstance(v, (int, float))}
        values = {
            k: float(v) for k, v in logged.items() if k not in _NOT_VALUES and not k.startswith(("eval_", "train_"))
        }
        if self.watch is not None and values:
            self.watch.log_epoch(**values)

    def on_evaluate(self, args: Any, state: Any, control: Any, **parts: Any) -> None:
        """Record the evaluation."""
        metrics = {k: v for k, v in (parts.get("metrics") or {}).items() if isinstance(v, (int, float))}
        measured = {validation_key(k): float(v) for k, v in metrics.items() if k.startswith("eval_")}
        if self.watch is not None and measured:
            self.watch.log_epoch(**measured)

    def on_train_end(self, args: Any, state: Any, control: Any, **parts: Any) -> None:
        """Close the run."""
        self._end(None, None, None)

    def _end(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Also where an error leaves the training; then save where that was asked for."""
        trainer = self._trainer
        if trainer is not None:
            how = 'trainer.train(resume_from_checkpoint="{path}")'
            self._oom.left_by(error, lambda: _transformers_oom.save(trainer), how)
        self._oom.put_back()
        watched, self.watch = self.watch, None
        if watched is not None:
            watched.__exit__(kind, error, trace)
