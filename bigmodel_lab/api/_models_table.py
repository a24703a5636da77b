"""``list_models``: the documented models, and how far they got here."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from bigmodel_lab._table import Table
from bigmodel_lab.api._name_table import UNKNOWN, NameTable, cut, member, short_sections
from bigmodel_lab.errors import RunFileError
from bigmodel_lab.i18n import text
from bigmodel_lab.models import MODELS, ModelCard
from bigmodel_lab.runlog import SUFFIX, RunReader, runs_folder
from bigmodel_lab.units import format_number, format_value

_FILE_NAMES = re.compile(r"\s*\([0-9a-f_]+\)")  # of the source documents, e.g. "(000_7729297fffeb390e)"


@dataclass(frozen=True)
class BestResult:
    """The best that a model reached in a run that was measured here."""

    value: float
    """Accuracy, 0 … 1, or loss where the task has no accuracy; of the validation samples after an epoch."""
    metric: str
    """``"validation_accuracy"`` or ``"validation_loss"``."""
    data: str
    """Name of the data."""
    path: Path
    """The run file."""

    @property
    def shown(self) -> str:
        """Value and data for a person."""
        if self.metric == "validation_accuracy":
            return f"{format_value(self.value, 'fraction')} ({self.data})"
        return text("models.best_loss", "loss {loss} ({data})", loss=format_number(self.value), data=self.data)


@dataclass(frozen=True)
class ModelRow:
    """What the table says about one model."""

    card: ModelCard
    """All that is documented."""
    best: BestResult | None
    """The best of the runs in the folder; None where there is none."""


class ModelTable(NameTable):
    """Names of the documented models; shows itself as a table, for which it reads the run files.

    >>> table = ModelTable(("mlp",))
    >>> table[0], table.rows[0].card.parameters
    ('mlp', 397510)
    """

    def __init__(self, names: Sequence[str], folder: Path | None = None) -> None:
        super().__init__(names)
        self.folder = folder
        """Where the run files lie; None is the folder that all programs use."""

    @cached_property
    def rows(self) -> tuple[ModelRow, ...]:
        """One a model; read when first asked for."""
        best = best_results(runs_folder(self.folder))
        return tuple(ModelRow(member(MODELS, name), best.get(name)) for name in self)

    def table(self, wide: int | None) -> Table:
        """Document, parameters, data, documented result and the best one here, one line a model."""
        heads = (
            text("models.name", "name"),
            text("models.document", "document"),
            text("models.parameters", "parameters"),
            text("models.data", "data"),
            text("models.documented", "documented result"),
            text("models.best", "best here (validation)"),
        )
        return Table(heads, tuple(_cells(row, wide) for row in self.rows), right={2})


def list_models(runs_dir: str | Path | None = None) -> ModelTable:
    """The documented models, for :func:`fit`: their names, shown as a table.

    The table tells the document, the number of parameters, the data, the documented result, and the best result of the
    runs here: the highest validation accuracy after an epoch, or the lowest validation loss where there is no
    accuracy. Simulated and recorded runs do not count.

    Args:
        runs_dir: Folder of the run files; None takes ``$BIGMODEL_LAB_RUNS``, else the user's data folder.

    >>> import bigmodel_lab as lab
    >>> "simple_cnn" in lab.list_models()
    True
    >>> print(str(lab.list_models()).splitlines()[0].split()[:3])
    ['name', 'document', 'parameters']
    """
    return ModelTable(MODELS.names(), Path(runs_dir) if runs_dir is not None else None)


def best_results(folder: Path) -> dict[str, BestResult]:
    """The best result of each model among the run files of a folder; files that cannot be read count as none.

    Args:
        folder: May not exist yet.
    """
    found: dict[str, BestResult] = {}
    for path in folder.glob(f"*{SUFFIX}"):
        result = None if path.name.startswith(".") else _result(path)
        if result is not None:
            model, best = result
            found[model] = max(found.get(model, best), best, key=_rank)
    return found


def _result(path: Path) -> tuple[str, BestResult] | None:
    """Model and best epoch of a run; None where nothing was validated, or not here."""
    try:
        reader = RunReader(path)
        header = reader.header()
        if header.get("origin") != "measured" or "model" not in header:
            return None
        keys = {stream.name: stream.keys for stream in reader.streams()}.get("epoch", ())
        values = reader.read("epoch").values if keys else np.empty((0, 0))
    except RunFileError:
        return None
    data = str(header.get("data", {}).get("name", UNKNOWN))
    for metric, pick in _METRICS.items():
        known = values[:, keys.index(metric)] if metric in keys else np.empty(0)
        known = known[np.isfinite(known)]
        if len(known):
            return str(header["model"]), BestResult(float(pick(known)), metric, data, path)
    return None


_METRICS: dict[str, Any] = {"validation_accuracy": np.max, "validation_loss": np.min}


def _rank(best: BestResult) -> tuple[bool, float]:
    """Higher is better: an accuracy before a loss, a low loss before a high one."""
    accuracy = best.metric == "validation_accuracy"
    return accuracy, best.value if accuracy else -best.value


def _cells(row: ModelRow, wide: int | None) -> tuple[str, ...]:
    card = row.card
    return (
        card.name,
        cut(short_sections(_FILE_NAMES.sub("", card.source)), wide),
        format_number(card.parameters),
        card.data,
        cut(card.documented_result or UNKNOWN, wide),
        row.best.shown if row.best else UNKNOWN,
    )
