"""The evaluation report of a run: what it measured, how it went, where it errs; as text, as HTML, as a figure."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from bigmodel_lab._table import Table
from bigmodel_lab.i18n import text
from bigmodel_lab.runlog import Source
from bigmodel_lab.training import Trainer
from bigmodel_lab.training.class_measures import ClassMeasures
from bigmodel_lab.training.learning_curves import LearningCurves
from bigmodel_lab.training.measures import Measures, TokenMeasures
from bigmodel_lab.training.mistakes import Mistake, mistakes_table
from bigmodel_lab.training.report import SplitReport, report_on
from bigmodel_lab.units import format_number

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, repr=False)
class EvaluationReport:
    """How well a model does on a part of the data; prints as tables, and :meth:`plot` draws it.

    >>> import bigmodel_lab as lab
    >>> report = lab.fit("mlp", epochs=2, seed=1).report("test")
    >>> report.accuracy > 0.5, report.measures.confusion.shape
    (True, (10, 10))
    """

    measured: SplitReport
    """All numbers."""
    curves: LearningCurves
    """How the training went, epoch by epoch."""

    @property
    def loss(self) -> float:
        """Mean loss over the samples."""
        return self.measured.loss

    @property
    def accuracy(self) -> float | None:
        """Share of the samples (of next tokens: of the places) that are right; None where there are no classes."""
        measures = self.measures
        return measures.accuracy if isinstance(measures, (ClassMeasures, TokenMeasures)) else None

    @property
    def measures(self) -> Measures | None:
        """Everything else, by the task: of classes the scores, the confusion matrix and the ROC curves.

        None where the output is judged by a loss of one's own only; :attr:`reasons` says so.
        """
        return self.measured.measures

    @property
    def mistakes(self) -> tuple[Mistake, ...]:
        """The worst, highest loss first."""
        return self.measured.mistakes

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why something is unknown."""
        return self.measured.reasons

    def plot(self, *, dark: bool = False) -> Figure:
        """Confusion matrix, ROC and learning curves, and the worst mistakes as a matplotlib figure.

        Args:
            dark: Light letters on a dark ground.

        Raises:
            MissingPackageError: matplotlib is not installed.
        """
        from bigmodel_lab.widgets._report_plot import report_figure

        return report_figure(self.measured, self.curves, dark=dark)

    def __repr__(self) -> str:
        parts = (part.text() if isinstance(part, Table) else part for part in self._parts())
        return "\n\n".join(parts)

    def _repr_html_(self) -> str:
        title, *rest = self._parts()
        parts = [part.html() if isinstance(part, Table) else f"<p>{escape(part)}</p>" for part in rest]
        return f"<h4>{escape(str(title))}</h4>{''.join(parts)}"

    def _parts(self) -> list[str | Table]:
        """Title, numbers and tables from top to bottom."""
        measures, mistakes = self.measures, self.mistakes
        gap = self.curves.table()
        return [
            self._title(),
            self._numbers(),
            *(measures.tables() if measures else []),
            *([gap] if gap.rows else []),
            self.curves.verdict(),
            *([mistakes_table(mistakes)] if mistakes else [text("report.no_mistakes", "No mistakes.")]),
            *self.reasons,
        ]

    def _title(self) -> str:
        return text(
            "report.title",
            "{model} on {data}, {split}: {samples} samples",
            model=self.measured.model,
            data=self.measured.data,
            split=self.measured.split,
            samples=format_number(self.measured.samples),
        )

    def _numbers(self) -> str:
        facts = [(text("report.loss", "loss"), format_number(self.loss))]
        facts += self.measures.facts() if self.measures else []
        return " · ".join(f"{name} {value}" for name, value in facts)


def make_report(trainer: Trainer, source: Source, split: str) -> EvaluationReport:
    """The report of a run.

    Args:
        trainer: With no step running.
        source: The run's record.
        split: ``"test"``, ``"validation"`` or ``"train"``.
    """
    return EvaluationReport(report_on(trainer, split), LearningCurves.of(source))
