"""What the callbacks of other frameworks do when a loop runs out of memory that is not ours."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any, TypeVar

from torch import nn

from bigmodel_lab.api._watch import Watch, device_of
from bigmodel_lab.i18n import Text, text
from bigmodel_lab.training.batch_parts import part_of, samples_in
from bigmodel_lab.training.checks import need_choice
from bigmodel_lab.training.device_memory import memory_of
from bigmodel_lab.training.out_of_memory import forget_failure, is_out_of_memory
from bigmodel_lab.training.randomness import SharedRandomness
from bigmodel_lab.training.recovery import OutOfMemoryFacts, describe
from bigmodel_lab.training.snapshot import StepSnapshot

Made = TypeVar("Made")

_ACTIONS = ("raise", "shrink", "checkpoint")
_WITHIN = ("forward", "backward")
"""Phases in which no weight has changed since the last step."""
_AUTOGRAD = "_engine_run_backward"
"""The function of ``torch/autograd/graph.py`` that every backward pass goes through."""
_NOT_DIVISIBLE = Text(
    "foreign_oom.not_divisible",
    "bigmodel_lab: the batch cannot be cut into parts without a guess: its tensors do not all have the same number of "
    "samples in their first dimension, or it holds objects of unknown kind. A smaller batch size in the DataLoader helps.",
)
_ONE_SAMPLE = Text(
    "foreign_oom.one_sample",
    "bigmodel_lab: a single sample does not fit. What helps is a smaller model or input, lower precision, or "
    "activation checkpointing.",
)
_ALREADY_SUMMED = Text(
    "foreign_oom.already_summed",
    "bigmodel_lab: this batch is not the first of an accumulated step, and some of its gradients are added already to "
    "those of the batches before it, so it cannot be made again faithfully. Begin again with a smaller batch size and more "
    "accumulation, or with larger batches and none.",
)
_NOT_AGAIN = {
    "optimizer": Text(
        "foreign_oom.optimizer",
        "bigmodel_lab: the optimizer ran out of memory in the middle of its step, when some weights may be changed "
        "already, so nothing was made again or saved. A smaller batch hardly helps here: build the optimizer with "
        "foreach=False, take one with less state, or go on from an earlier checkpoint.",
    ),
    "evaluation": Text(
        "foreign_oom.evaluation",
        "bigmodel_lab: this happened outside of a training step, in a validation or between two steps, where nothing is "
        "made in parts. A smaller evaluation batch size helps.",
    ),
}
_OUTSIDE = Text(
    "foreign_oom.outside",
    "bigmodel_lab: this happened in a part of the step that is not made in parts. A smaller batch size helps.",
)


class InParts:
    """Makes every batch in the fewest parts that have fit so far, with gradients that add up to those of the whole.

    The loop tells it when a pass begins; what a broken try has changed is put back before the next one.

    >>> import torch, bigmodel_lab as lab
    >>> model = nn.Linear(2, 1)
    >>> def mean_of(part):
    ...     if len(part) > 2:
    ...         raise torch.OutOfMemoryError("CUDA out of memory.")
    ...     return model(part).mean()
    >>> with lab.watch(model) as watch:
    ...     parts = InParts(watch, model)
    ...     parts.begin(torch.ones(3, 2))
    ...     shares = parts.until_it_fits(lambda: [(mean_of(part), share)[1] for part, share in parts.pieces])
    Out of memory at step 1 (forward). From here on a batch of 3 is made in 2 parts of at most 2; the effective batch stays.
    >>> [round(share, 2) for share in shares]
    [0.67, 0.33]
    """

    def __init__(self, watch: Watch, model: nn.Module) -> None:
        """Args: ``watch`` takes the events; ``model`` is the one that trains."""
        self.phase = "forward"
        """``"forward"`` or ``"backward"``; the loop sets it, or calls :meth:`backward_begins`."""
        self.first = True
        """Whether the batch is the first of its optimizer step, so that no gradient of an earlier one is lost."""
        self.gave_up: BaseException | None = None
        """The error that was raised in the end, with its reason as a note; None while all fits."""
        device = device_of(model)
        self._watch, self._model = watch, model
        self._memory, self._random = memory_of(str(device)), SharedRandomness(device)
        self._count = 1

    def begin(self, batch: Any) -> None:
        """A batch comes.

        Args:
            batch: As the framework gives it to the step.
        """
        self._batch, self._samples = batch, samples_in(batch)
        self._touched, self._clean = False, True
        self._before = StepSnapshot(self._model, self._random)

    @property
    def pieces(self) -> list[tuple[Any, float]]:
        """The parts, and the share of the batch's samples that each has."""
        whole = self._samples
        if whole is None or self._count == 1:
            return [(self._batch, 1.0)]
        size = self._size
        starts = range(0, whole, size)
        return [(part_of(self._batch, slice(at, at + size)), min(size, whole - at) / whole) for at in starts]

    def backward_begins(self) -> None:
        """From now on gradients change."""
        self.phase = "backward"
        if not self._touched:
            self._touched = True
            kept = [p.grad for p in self._model.parameters() if p.grad is not None]
            self._with_grad = {id(grad) for grad in kept}
            self._clean = self.first and not any(bool(grad.any()) for grad in kept)

    def until_it_fits(self, make: Callable[[], Made]) -> Made:
        """What ``make()`` gives; made again, from the same state and in more parts, as often as it runs out of memory.

        Args:
            make: Makes the present :attr:`pieces`, from the first on.

        Raises:
            torch.OutOfMemoryError: It cannot be made to fit, or not be made again faithfully: the original error.
        """
        while True:
            try:
                return make()
            except (RuntimeError, MemoryError) as caught:
                if not is_out_of_memory(caught):
                    raise
                error, full = caught, facts_of(caught, self._watch, self._model, self.phase)
                forget_failure(caught)
            self._divide_further(error, full)  # not while the error is handled, which would keep its tensors alive

    def end(self) -> None:
        """The batch is made: nothing of it is kept."""
        del self._batch, self._before

    @property
    def _size(self) -> int:
        """Samples of the largest part."""
        return -(-(self._samples or 1) // self._count)

    def _divide_further(self, error: BaseException, full: OutOfMemoryFacts) -> None:
        self._watch.event("out_of_memory", action="shrink", waits=False, **asdict(full))
        why_not = self._why_not()
        if why_not is not None:
            self.gave_up = error
            note(error, str(why_not))
            raise error
        self._before.restore()
        if self._touched:
            self._drop_gradients()
        self._memory.empty_cache()
        self._count = min(2 * self._count, self._samples or 1)
        parts = len(self.pieces)
        self._watch.event("out_of_memory_settled", micro_batch_size=self._size, parts=parts)
        say(
            text(
                "foreign_oom.shrunk",
                "Out of memory at step {step} ({phase}). From here on a batch of {samples} is made in {parts} parts of at "
                "most {size}; the effective batch stays.",
                step=full.step + 1,
                phase=full.phase,
                samples=self._samples,
                parts=parts,
                size=self._size,
            )
        )

    def _why_not(self) -> Text | None:
        if self._samples is None:
            return _NOT_DIVISIBLE
        if self._touched and not self._clean:
            return _ALREADY_SUMMED
        return _ONE_SAMPLE if self._size == 1 else None

    def _drop_gradients(self) -> None:
        """As before the backward pass: none, or zeros where there were zeros."""
        for parameter in self._model.parameters():
            if parameter.grad is not None and id(parameter.grad) in self._with_grad:
                parameter.grad.zero_()
            else:
                parameter.grad = None


class ForeignOom:
    """What one callback does about out-of-memory errors of its loop: its setting, and what that needs.

    >>> oom = ForeignOom("checkpoint")
    >>> oom.action, oom.parts is None
    ('checkpoint', True)
    """

    def __init__(self, action: str) -> None:
        """Args: ``action`` is ``"raise"``, ``"shrink"`` or ``"checkpoint"``.

        Raises:
            ConfigError: It is something else.
        """
        need_choice("on_oom", action, _ACTIONS)
        self.action = action
        self.parts: InParts | None = None
        """Makes the batches, from :meth:`begin` on; None unless the action is ``"shrink"``."""
        self._phase = "evaluation"
        self._watch: Watch | None = None
        self._before: StepSnapshot | None = None
        self._replaced: list[tuple[object, str, dict[str, Any]]] = []

    def begin(self, watch: Watch, model: nn.Module) -> None:
        """The training begins.

        Args:
            watch: Takes the events.
            model: That trains.
        """
        if self.action != "raise":
            self._watch, self._model = watch, model
            self._phase, self._before = "evaluation", None
            self.parts = InParts(watch, model) if self.action == "shrink" else None

    def enter(self, phase: str, *, first: bool | None = None) -> None:
        """The loop enters a phase: ``"forward"``, ``"backward"``, ``"optimizer"``, or ``"evaluation"`` for what is between.

        Args:
            phase: Which one.
            first: A new batch comes, and is the first of its optimizer step, or not; None where none comes.
        """
        self._phase = phase
        if self.parts is not None and first is not None:
            self.parts.first = first

    def remember(self) -> None:
        """An optimizer step is about to begin: a checkpoint will have its statistics and random numbers as they are now."""
        if self.action == "checkpoint" and self._watch is not None:
            self._before = StepSnapshot(self._model, SharedRandomness(device_of(self._model)))

    def replace(self, owner: object, name: str, function: Callable[..., Any]) -> None:
        """Put a function in the place of a method of one object, until :meth:`put_back`.

        Args:
            owner: Whose method.
            name: Of the method.
            function: Instead of it.
        """
        self._replaced.append((owner, name, {k: v for k, v in vars(owner).items() if k == name}))
        setattr(owner, name, function)

    def put_back(self) -> None:
        """The training is over: methods are as they were."""
        while self._replaced:
            owner, name, before = self._replaced.pop()
            vars(owner).pop(name, None)
            vars(owner).update(before)
        self._watch = self._before = self.parts = None

    def left_by(self, error: BaseException | None, save: Callable[[], str], how: str) -> None:
        """An error leaves the training: note it if memory has run out, and save where that was asked for.

        Args:
            error: As it was caught; None is none.
            save: Saves the training state and gives its path.
            how: Code that goes on from there, with ``{path}`` for the path.
        """
        watch = self._watch
        if watch is None or error is None or not is_out_of_memory(error):
            return
        if self.parts is not None and self.parts.gave_up is error:  # all is said
            return
        watch.event(
            "out_of_memory",
            action=self.action,
            waits=False,
            **asdict(facts_of(error, watch, self._model, self._phase)),
        )
        if self.action == "shrink":
            note(error, str(_NOT_AGAIN.get(self._phase, _OUTSIDE)))
        elif self._phase == "optimizer":
            watch.event("checkpoint_failed", checkpoint="out_of_memory", reason=str(_NOT_AGAIN["optimizer"]))
            note(error, str(_NOT_AGAIN["optimizer"]))
            say(str(_NOT_AGAIN["optimizer"]))
        else:
            self._save(watch, error, save, how)

    def _save(self, watch: Watch, error: BaseException, save: Callable[[], str], how: str) -> None:
        """The state of the last completed step: weights have not changed since; statistics and random numbers are put back."""
        self._model.zero_grad(set_to_none=True)
        if self._phase in _WITHIN and self._before is not None:
            self._before.restore()
        try:
            path = save()
        except (OSError, RuntimeError) as failed:
            watch.event("checkpoint_failed", checkpoint="out_of_memory", reason=str(failed))
            line = text(
                "foreign_oom.not_saved", "bigmodel_lab: out of memory, and no checkpoint: {reason}", reason=failed
            )
        else:
            watch.event("checkpoint", checkpoint="out_of_memory", step=watch.steps_made - 1, path=path)
            line = text(
                "foreign_oom.saved",
                "bigmodel_lab: out of memory. The state of the last completed step is saved; with a smaller batch size "
                "go on from it by  {how}",
                how=how.format(path=path),
            )
        note(error, line)
        say(line)


def facts_of(error: BaseException, watch: Watch, model: nn.Module, phase: str) -> OutOfMemoryFacts:
    """What is known of an out-of-memory error in a loop that is not ours.

    Args:
        error: As it was caught.
        watch: Knows how many steps were made.
        model: Tells the device.
        phase: Where the loop was; a forward pass is told from a backward pass by the calls that the error has passed.
    """
    calls = traceback.walk_tb(error.__traceback__)
    if phase == "forward" and any(frame.f_code.co_name == _AUTOGRAD for frame, _ in calls):
        phase = "backward"
    return replace(describe(error, watch.steps_made, memory_of(str(device_of(model)))), phase=phase)


def note(error: BaseException, line: str) -> None:
    """Add a line below an error's own message, where this Python shows such notes (3.11)."""
    if hasattr(error, "add_note"):
        error.add_note(line)


def say(line: str) -> None:
    """Tell the person."""
    print(line, flush=True)  # noqa: T201 (what becomes of the training must not be silent)
