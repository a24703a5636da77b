# ruff: noqa: ARG002 (the library names the arguments of its hooks)
"""A callback of the Hugging Face Trainer that shows its training in the live dashboard."""

from __future__ import annotations

from typing import Any

import transformers

from bigmodel_lab.api._watch import Watch, watch
from bigmodel_lab.metrics import validation_key

_NOT_VALUES = ("epoch", "step", "total_flos")


class TransformersCallback(transformers.TrainerCallback):
    """Watch a Hugging Face training: ``Trainer(..., callbacks=[lab.TransformersCallback()])``.

    Every optimizer step is a step; loss, learning rate and gradient norm come when the Trainer logs
    them (``logging_steps``). Stop in the dashboard ends the training after the step, pause waits there.

    >>> import bigmodel_lab as lab
    >>> callback = lab.TransformersCallback(name="example")
    >>> callback.watch is None
    True
    """

    def __init__(self, **settings: Any) -> None:
        """Take the settings of :func:`bigmodel_lab.watch`, without model and optimizer."""
        self._settings = settings
        self.watch: Watch | None = None
        """The watch of the training; None before it begins and after it has ended."""

    def on_train_begin(self, args: Any, state: Any, control: Any, **parts: Any) -> None:
        """Open the run and show the dashboard."""
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

    def on_step_begin(self, args: Any, state: Any, control: Any, **parts: Any) -> None:
        """The batches of the step have been fetched."""
        if self.watch is not None:
            self.watch.batch_has_come()

    def on_step_end(self, args: Any, state: Any, control: Any, **parts: Any) -> None:
        """Record the step and obey the dashboard."""
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
        watched, self.watch = self.watch, None
        if watched is not None:
            watched.__exit__(None, None, None)
