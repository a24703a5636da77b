"""A run of our own training loop: running now, paused, or ended in this process."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future
from concurrent.futures import wait as wait_for
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from bigmodel_lab.api._answers import HeatMap, InferenceCost, explain, inference_cost
from bigmodel_lab.api._interrupt import interrupts_to
from bigmodel_lab.api._live import FailureRecorded, OutcomeKept, sampled, tell_interrupt
from bigmodel_lab.api._report import EvaluationReport, make_report
from bigmodel_lab.api._run import Run
from bigmodel_lab.api._tip_board import asked_now_and_then
from bigmodel_lab.api._tips import TipDesk
from bigmodel_lab.api._virtual_gpu import Place
from bigmodel_lab.data import Data
from bigmodel_lab.errors import BigModelLabError, ConfigError
from bigmodel_lab.i18n import text
from bigmodel_lab.runlog import ProposalRecord, RunLog, Status
from bigmodel_lab.tips.base import Proposal
from bigmodel_lab.training import Checkpoints, Evaluation, TrainConfig, Trainer, need_safetensors
from bigmodel_lab.training.predict import Prediction, predict
from bigmodel_lab.units import format_seconds
from bigmodel_lab.widgets import RunDisplay, cell_number

_ADVICE_SECONDS = 300.0
"""So long a step and the traces of all tips may take together."""


class TrainingRun(Run):
    """A run that this process trains; what :func:`bigmodel_lab.fit` returns.

    >>> import bigmodel_lab as lab
    >>> run = lab.fit("mlp", epochs=1, background=True)
    >>> run.wait()
    >>> run.evaluate("test").accuracy > 0.3
    True
    """

    def __init__(
        self, trainer: Trainer, log: RunLog, checkpoints: Checkpoints, *, place: Place, tips: TipDesk, sample_hz: float
    ) -> None:
        super().__init__(log, log.path)
        self._trainer = trainer
        self._checkpoints = checkpoints
        self._log = log
        self._place = place
        self._tips = tips
        self._sample_hz = sample_hz
        self._background = False
        self._cell: int | None = None
        self._outcome: Future[None] = Future()

    @property
    def model(self) -> nn.Module:
        """The model that is trained, in its present state."""
        return self._trainer.model

    @property
    def data(self) -> Data:
        """What is trained on, divided, as the model takes it."""
        return self._trainer.data

    @property
    def config(self) -> TrainConfig:
        """The settings of the run."""
        return self._trainer.config

    def start(self, *, background: bool = False) -> None:
        """Train until the end; called by :func:`bigmodel_lab.fit`.

        Args:
            background: In a thread; returns at once.
        """
        self._background = background
        self._outcome = Future()
        self._cell = cell_number()
        self._checkpoints.attach(self._trainer, self._log)
        display = RunDisplay(self._log, self._log.mailbox)
        self._tips.attach(self._log, in_notebook=display.front.kind == "notebook", background=background)
        self._trainer.recover_by(self._tips if self._place.has_card else None)
        display.show()
        if background:
            threading.Thread(
                target=self._train_for_outcome, args=(display,), name=f"train {self.name}", daemon=True
            ).start()
            return
        with interrupts_to(self._log, may_pause=display.front.kind == "notebook", tell=tell_interrupt):
            self._train(display)
        self._outcome.set_result(None)

    def pause(self) -> None:
        """Pause after the current step; :meth:`resume` goes on."""
        self._log.mailbox.post("pause", "api")

    def stop(self) -> None:
        """End cleanly after the current step; :meth:`resume` can still go on from there."""
        self._log.mailbox.post("stop", "api")

    def resume(self) -> None:
        """Go on from the step at which the run was paused or stopped.

        Raises:
            ConfigError: The run has made all its steps, or it failed.
        """
        if self.status is Status.PAUSED:
            self._log.mailbox.post("resume", "api")
        elif self.status is Status.STOPPED:
            if self._background:
                self.wait()  # its thread may still be closing the file
            self._log = self._source = RunLog.reopen(self.path)
            self._trainer.attach(self._log)
            self.start(background=self._background)
        else:
            raise ConfigError(
                text(
                    "run.cannot_resume",
                    "This run is {status}; only a paused or stopped run can be resumed. Start a new one with lab.fit(…).",
                    status=self.status.value,
                )
            )

    def checkpoint(self) -> Path:
        """Write the present state as the checkpoint ``last``, from which :func:`bigmodel_lab.resume` goes on.

        A run that is training writes it after its current step; one that has ended, at once.

        Returns:
            The folder of the checkpoint, beside the run file.

        Raises:
            OSError: It cannot be written; a run that is training says so by an event, and goes on.
            MissingPackageError: safetensors is not installed.
        """
        need_safetensors()
        if self.status.ended:
            return self._checkpoints.write(self._trainer, "last").folder
        self._log.mailbox.post("checkpoint", "api")
        return self._checkpoints.folder / "last"

    def tips(self) -> tuple[Proposal, ...]:
        """What would help the run now, the most useful first; see :func:`bigmodel_lab.advise`.

        A run that is training is asked between two steps, which this waits for; one that has ended, at once.
        """
        if self.status.ended or not self._background:
            return self._tips.refresh()
        answer: Future[tuple[Proposal, ...]] = Future()
        self._log.mailbox.call_soon(lambda: answer.set_result(self._tips.refresh()))
        if self._ends_before(answer, _ADVICE_SECONDS):
            return self._tips.refresh()
        return answer.result()

    def apply(self, tip: str | int, timeout: float = _ADVICE_SECONDS) -> ProposalRecord:
        """Apply a proposed tip after the current step: it is measured on the coming steps, then kept or not.

        Args:
            tip: Name of the tip, e.g. ``"bf16"``, or the id of its proposal.
            timeout: Seconds to wait for the measurement.

        Returns:
            What became of it: ``state`` is ``"kept"``, ``"reverted"`` or ``"inconclusive"``; ``data`` holds the numbers.

        Raises:
            UnknownNameError: It was not proposed to this run.
            ConfigError: The run has ended.
            TimeoutError: The run has not obeyed in time.
        """
        return self._ask(self._tips.apply, tip, timeout)

    def undo(self, tip: str | int, timeout: float = _ADVICE_SECONDS) -> ProposalRecord:
        """Take an applied tip back after the current step; steps made meanwhile stay.

        Args:
            tip: As in :meth:`apply`.
            timeout: Seconds to wait for it.

        Raises:
            UnknownNameError: It was not applied.
            ConfigError: The run has ended.
            TimeoutError: The run has not obeyed in time.
        """
        return self._ask(self._tips.undo, tip, timeout)

    def _ask(self, action: Callable[[int], None], tip: str | int, timeout: float) -> ProposalRecord:
        """Have the loop do something about a proposal between two steps; what became of it."""
        if self.status.ended:
            raise _too_late(self.status)
        answer: Future[int] = Future()

        def obey() -> None:
            try:
                number = self._tips.number_of(tip)
                action(number)
                answer.set_result(number)
            except BigModelLabError as error:
                answer.set_exception(error)

        self._log.mailbox.call_soon(obey)
        if self._ends_before(answer, timeout):
            raise _too_late(self.status)
        number = answer.result()
        return next(record for record in self.proposals() if record.id == number)

    def _ends_before(self, answer: Future[Any], timeout: float) -> bool:
        """The run has ended without an answer, which will not come any more; False where it is there.

        Raises:
            TimeoutError: Neither has happened in this many seconds.
        """
        wait_for({answer, self._outcome}, timeout, return_when=FIRST_COMPLETED)
        if answer.done():
            return False
        if not self._outcome.done():
            raise TimeoutError(
                text(
                    "run.no_answer",
                    "The run has not answered within {time}: its step takes longer. Ask again with a longer timeout.",
                    time=format_seconds(timeout),
                )
            )
        return True

    def wait(self, timeout: float | None = None) -> None:
        """Wait until a run in the background has ended; its error, if any, is raised here.

        Args:
            timeout: Seconds after which to give up with ``TimeoutError``; None waits for ever.
        """
        self._outcome.result(timeout)

    async def ended(self) -> None:
        """Await the end of a run in the background; Interrupt stops it cleanly."""
        with interrupts_to(self._log, may_pause=False, tell=tell_interrupt):
            await asyncio.shield(asyncio.wrap_future(self._outcome))

    def evaluate(self, split: str = "test") -> Evaluation:
        """Loss and accuracy on a part of the data that was not trained on.

        Args:
            split: ``"test"`` or ``"validation"``.
        """
        return self._trainer.evaluate(split)

    def report(self, split: str = "test") -> EvaluationReport:
        """How well the model does on a part of the data: scores, confusion, ROC, over-fitting, worst mistakes.

        Args:
            split: ``"test"``, ``"validation"`` or ``"train"``.

        Raises:
            UnknownNameError: There is no such part.
            EmptyDataError: It has no samples.
            ConfigError: The run is training now.
            TrainingError: The loss of some samples is NaN.
            MissingPackageError: scikit-learn is not installed.
        """
        return make_report(self._resting(), self._source, split)

    def predict(self, x: Any) -> Prediction | NDArray[np.float32]:
        """What the model answers to samples of one's own.

        Args:
            x: One sample or several, as tensor, array or lists; of text, a string or several. Whole numbers are scaled
                as the pixels of the training; fractional ones are taken as they are.

        Returns:
            Classes with their probabilities; of other tasks the model's output as an array, shape (samples, …).

        Raises:
            ShapeError: Another shape than that of the training samples; says which are allowed.
            DataError: Anything else that cannot be read as such samples.
            ConfigError: The run is training now.
        """
        return predict(self._resting(), x)

    def inference_cost(self, batch_sizes: Sequence[int] = (1, 8, 64, 256)) -> InferenceCost:
        """Latency, throughput and peak memory of the model's answers against the batch size; takes seconds.

        On CUDA it resets PyTorch's peak counters of the device, and puts that of allocated memory back where it can.

        Args:
            batch_sizes: Each from 1.

        Raises:
            ConfigError: A batch size that cannot be, or the run is training now.
        """
        return inference_cost(self._resting(), batch_sizes)

    def explain(self, x: Any, method: str = "saliency") -> HeatMap:
        """Which pixels make the model say what it says about a picture.

        Args:
            x: One picture as for :meth:`predict`, or the place of a test sample, e.g. of a mistake in the report.
            method: ``"saliency"`` (gradient by pixel) or ``"occlusion"`` (what happens when a square is covered).

        Raises:
            UnknownNameError: There is no such method.
            ConfigError: The model does not classify pictures, or the run is training now.
            ShapeError: ``x`` is not one picture.
            MissingPackageError: Captum is not installed.
        """
        return explain(self._resting(), x, method)

    def _resting(self) -> Trainer:
        """The trainer, while no step changes its model.

        Raises:
            ConfigError: The run is training now.
        """
        if self.status is Status.RUNNING:
            raise ConfigError(
                text(
                    "run.still_training",
                    "This run is training now, and its model changes with each step. Pause it first, run.pause(), or "
                    "wait for its end, run.wait().",
                )
            )
        return self._trainer

    def _ipython_display_(self) -> None:
        """The dashboard again; in the cell that shows it already, one line of text."""
        if self._cell is not None and self._cell == cell_number():
            print(repr(self))  # noqa: T201 (what a person asked for by naming the run)
        else:
            super()._ipython_display_()

    def _train_for_outcome(self, display: RunDisplay) -> None:
        """Body of the background thread: whatever ends the training is kept for :meth:`wait`."""
        with OutcomeKept(self._outcome):
            self._train(display)

    def _train(self, display: RunDisplay) -> None:
        try:
            with FailureRecorded(self._log):
                gpu_uuid, gpu = self._place.choice.gpu_uuid, self._place.gpu
                with (
                    sampled(self._log, gpu_uuid=gpu_uuid, sample_hz=self._sample_hz, virtual=gpu),
                    self._place.in_use(),
                    asked_now_and_then(self._log, lambda: self._log.mailbox.call_soon(self._tips.refresh)),
                ):
                    status = self._trainer.run()
                    if status is Status.STOPPED:
                        self._checkpoints.stopped(self._trainer)
                self._log.close(status)
        finally:
            display.finish()


def _too_late(status: Status) -> ConfigError:
    return ConfigError(
        text(
            "run.tips_ended",
            "This run is {status}: its settings change no more. Start another with lab.fit(…).",
            status=status.value,
        )
    )
