"""``sweep``: search for good settings; every trial is a run in the same folder."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from torch import nn

from bigmodel_lab._table import Table
from bigmodel_lab.api._fit import config_for, fresh, load_for, name_of, prepare
from bigmodel_lab.api._training_run import TrainingRun
from bigmodel_lab.data import check_not_empty
from bigmodel_lab.errors import ConfigError, MissingPackageError, TrainingError
from bigmodel_lab.i18n import Text, text
from bigmodel_lab.runlog import Status
from bigmodel_lab.training import EpochEnd, LossFunction, Trainer

if TYPE_CHECKING:
    import optuna

Outcome = Literal["completed", "pruned", "failed", "stopped"]
Objective = Literal["validation_accuracy", "validation_loss"]

_DIRECTIONS: dict[str, Literal["maximize", "minimize"]] = {
    "validation_accuracy": "maximize",
    "validation_loss": "minimize",
}
_OUTCOMES: dict[Outcome, Text] = {
    "completed": Text("sweep.completed", "completed"),
    "pruned": Text("sweep.pruned", "ended early"),
    "failed": Text("sweep.failed", "failed"),
    "stopped": Text("sweep.stopped", "stopped"),
}
_LEARNING_RATE = {"learning_rate": (1e-4, 1e-1, "log")}


@dataclass(frozen=True)
class Trial:
    """One run of a sweep."""

    number: int
    """Which it was, from 1."""
    settings: Mapping[str, Any]
    """What was tried."""
    value: float | None
    """The objective after its last epoch; None where none was completed."""
    outcome: Outcome
    """``"pruned"``: ended early, as it did worse than the median of those before it."""
    reason: str
    """Why it failed or ended early; empty elsewhere."""
    path: Path
    """The run file."""


@dataclass(frozen=True)
class Sweep:
    """What a search has found; prints as a table, the best first."""

    name: str
    """What was trained."""
    objective: Objective
    """What was made large (accuracy) or small (loss)."""
    trials: tuple[Trial, ...]
    """All of them, in the order in which they ran."""

    @property
    def best(self) -> Trial:
        """The completed trial with the best value.

        Raises:
            TrainingError: None was completed.
        """
        completed = [trial for trial in self._ranked() if trial.outcome == "completed"]
        if completed:
            return completed[0]
        reasons = "; ".join(f"{trial.number}: {trial.reason or _OUTCOMES[trial.outcome]}" for trial in self.trials)
        raise TrainingError(
            text("sweep.nothing", "No trial was completed, so there is no best one. {reasons}", reasons=reasons or "–")
        )

    @property
    def best_settings(self) -> dict[str, Any]:
        """Settings of the best trial, for :func:`bigmodel_lab.fit`."""
        return dict(self.best.settings)

    def __repr__(self) -> str:
        return self._table().text()

    def _repr_html_(self) -> str:
        return self._table().html()

    def _ranked(self) -> list[Trial]:
        """Completed ones by their value, then those that ended early, then those without a value."""
        sign = -1 if _DIRECTIONS[self.objective] == "maximize" else 1
        order = list(_OUTCOMES)
        return sorted(self.trials, key=lambda t: (order.index(t.outcome), sign * t.value if t.value is not None else 0))

    def _table(self) -> Table:
        names = tuple(dict.fromkeys(name for trial in self.trials for name in trial.settings))
        heads = (text("sweep.trial", "trial"), *names, self.objective, text("sweep.outcome", "outcome"))
        rows = tuple(
            (
                str(trial.number),
                *(_shown(trial.settings.get(name)) for name in names),
                _shown(trial.value),
                str(_OUTCOMES[trial.outcome]),
            )
            for trial in self._ranked()
        )
        title = text("sweep.title", "Sweep of {name}: {count} trials, the best first", name=self.name, count=len(rows))
        return Table(heads, rows, right=range(1, 2 + len(names)), title=title)


def sweep(
    model: str | nn.Module,
    data: Any = None,
    space: Mapping[str, Any] | None = None,
    *,
    trials: int = 20,
    seconds: float | None = None,
    seed: int = 0,
    objective: Objective = "validation_accuracy",
    loss: LossFunction | None = None,
    runs_dir: str | Path | None = None,
    name: str | None = None,
    sample_hz: float = 2.0,
    **settings: Any,
) -> Sweep:
    """Search for good settings with Optuna: tree-structured Parzen estimators, and the median pruner by epoch.

    Every trial is a run of its own, named for example "mlp trial 3". One whose loss becomes NaN, or that does not
    fit into memory, is noted as failed, and the search goes on. Stop ends the search with the trials that are done.
    The same seed gives the same trials, as long as ``seconds`` does not cut them off and the device computes alike.

    Sources: J. Bergstra et al. 2011, Algorithms for hyper-parameter optimization (TPE); D. Golovin et al. 2017,
    Google Vizier, section 3.2 (median stopping); T. Akiba et al. 2019, Optuna.

    Args:
        model: As for :func:`bigmodel_lab.fit`; a module is copied for each trial and itself never trained.
        data: As for :func:`bigmodel_lab.fit`.
        space: What to try, by setting: ``(low, high)`` or ``(low, high, "log")`` for a number, whole where both ends
            are whole; a list for a choice, e.g. ``{"learning_rate": (1e-4, 1e-1, "log"), "micro_batch_size": [32, 64]}``.
            None tries learning rates from 0.0001 to 0.1.
        trials: How many runs, from 1.
        seconds: No trial begins after so much time; None sets no limit.
        seed: Of the search and of every run.
        objective: ``"validation_accuracy"``, made large, or ``"validation_loss"``, made small.
        loss: As for :func:`bigmodel_lab.fit`.
        runs_dir: Folder for the run files; None takes ``$BIGMODEL_LAB_RUNS``, else the user's data folder.
        name: Name of the runs, without the trial; None takes the model's.
        sample_hz: Samples of GPU and host a second, 1 … 10.
        settings: Settings that all trials share.

    Raises:
        MissingPackageError: Optuna is not installed.
        ConfigError: The space or a setting cannot be used, or the objective cannot be measured.
        EmptyDataError: There are no validation samples.

    >>> import bigmodel_lab as lab
    >>> found = lab.sweep("mlp", space={"learning_rate": (1e-4, 1e-2, "log")}, trials=2, epochs=1)
    >>> len(found.trials), list(found.best_settings)
    (2, ['learning_rate'])
    """
    space = space or _LEARNING_RATE
    _check(space, objective, trials)
    shared = {**settings, "seed": seed}
    loaded = load_for(model, data, config_for(model, shared))
    check_not_empty("validation", loaded.validation)
    name = name or name_of(model)
    done: list[Trial] = []
    deadline = None if seconds is None else time.monotonic() + seconds
    with _study(objective, seed) as study:
        while len(done) < trials and (deadline is None or time.monotonic() < deadline):
            asked = study.ask()
            tried = {key: _suggested(asked, key, choice) for key, choice in space.items()}
            judge = _Judge(asked, objective)
            run = prepare(
                fresh(model),
                loaded,
                {**shared, **tried},
                loss=loss,
                observers=(judge,),
                runs_dir=runs_dir,
                name=text("sweep.run", "{name} trial {number}", name=name, number=len(done) + 1),
                sample_hz=sample_hz,
            )
            done.append(_made(len(done) + 1, tried, run, judge))
            _tell(study, asked, done[-1])
            if done[-1].outcome == "stopped":
                break
    return Sweep(name, objective, tuple(done))


class _Judge:
    """Tells Optuna how a run does after each epoch, and ends it where the others did better."""

    def __init__(self, trial: optuna.trial.Trial, objective: Objective) -> None:
        self.value: float | None = None
        self.pruned = ""
        self.objective = objective
        self._trial = trial

    def epoch_ended(self, trainer: Trainer, end: EpochEnd) -> str | None:
        value: float | None = getattr(end, self.objective)
        if value is None:
            return None
        self.value = value
        self._trial.report(value, end.epoch)
        if trainer.steps_made == trainer.total_steps or not self._trial.should_prune():
            return None
        self.pruned = text("sweep.worse", "At this epoch it did worse than the median of the trials before it.")
        return self.pruned


def _made(number: int, tried: Mapping[str, Any], run: TrainingRun, judge: _Judge) -> Trial:
    """Train a trial to its end, whichever that is."""
    try:
        run.start()
    except RuntimeError as error:  # a loss that is no number; PyTorch's errors of a device, e.g. no memory left
        return Trial(number, tried, None, "failed", str(error), run.path)
    if run.status is Status.STOPPED:
        return Trial(number, tried, judge.value, "stopped", "", run.path)
    if judge.value is None:
        raise ConfigError(
            text(
                "sweep.unmeasured",
                "The run {path} measured no {objective}, so the sweep cannot judge by it.",
                path=run.path,
                objective=judge.objective,
            )
        )
    return Trial(number, tried, judge.value, "pruned" if judge.pruned else "completed", judge.pruned, run.path)


def _tell(study: optuna.Study, asked: optuna.trial.Trial, trial: Trial) -> None:
    from optuna.trial import TrialState

    if trial.outcome == "completed":
        study.tell(asked, trial.value)
    else:
        study.tell(asked, state=TrialState.PRUNED if trial.outcome == "pruned" else TrialState.FAIL)


@contextmanager
def _study(objective: Objective, seed: int) -> Iterator[optuna.Study]:
    """A search in memory; meanwhile Optuna keeps its notes on each trial to itself."""
    try:
        import optuna
    except ImportError as error:
        raise MissingPackageError("optuna", text("sweep.purpose", "search for settings"), "tune") from error
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield optuna.create_study(
            direction=_DIRECTIONS[objective],
            sampler=optuna.samplers.TPESampler(seed=seed),
            pruner=optuna.pruners.MedianPruner(),
        )
    finally:
        optuna.logging.set_verbosity(before)


def _suggested(trial: optuna.trial.Trial, name: str, choice: Any) -> Any:
    if isinstance(choice, list):
        return choice[trial.suggest_categorical(name, range(len(choice)))]  # Optuna keeps plain values only
    low, high, *scale = choice
    if isinstance(low, int) and isinstance(high, int):
        return trial.suggest_int(name, low, high, log=bool(scale))
    return trial.suggest_float(name, low, high, log=bool(scale))


def _check(space: Mapping[str, Any], objective: str, trials: int) -> None:
    for name, choice in space.items():
        if not (isinstance(choice, list) and choice) and not _is_range(choice):
            raise ConfigError(
                text(
                    "error.sweep_space",
                    "The space of {name} is {choice!r}, but must be (low, high) or (low, high, 'log') with low < high "
                    "(above 0 for 'log'), or a list of choices.",
                    name=name,
                    choice=choice,
                )
            )
    if objective not in _DIRECTIONS:
        allowed = " | ".join(_DIRECTIONS)
        raise ConfigError(
            text(
                "error.sweep_objective",
                "objective is {objective!r}, but must be: {allowed}.",
                objective=objective,
                allowed=allowed,
            )
        )
    if not isinstance(trials, int) or trials < 1:
        raise ConfigError(
            text("error.sweep_trials", "trials is {trials!r}, but must be a whole number from 1.", trials=trials)
        )


def _is_range(choice: Any) -> bool:
    if not isinstance(choice, tuple) or choice[2:] not in {(), ("log",)}:
        return False
    numbers = [
        end for end in choice[:2] if isinstance(end, (int, float)) and isfinite(end) and not isinstance(end, bool)
    ]
    return len(numbers) == 2 and numbers[0] < numbers[1] and (len(choice) == 2 or numbers[0] > 0)


def _shown(value: Any) -> str:
    return "–" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
