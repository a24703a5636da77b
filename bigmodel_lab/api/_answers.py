"""What a trained model can be asked beyond its report: what an answer costs, and what it rests on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bigmodel_lab.i18n import text
from bigmodel_lab.training import Trainer
from bigmodel_lab.training.heat_map import Heat, heat_of
from bigmodel_lab.training.inference_cost import InferenceCost as MeasuredCost
from bigmodel_lab.training.inference_cost import measure
from bigmodel_lab.units import format_value

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SECONDS = 0.5  # measured at each batch size


class InferenceCost(MeasuredCost):
    """Latency, throughput and memory against the batch size; prints as a table, and :meth:`plot` draws it."""

    def plot(self, *, dark: bool = False) -> Figure:
        """Latency, throughput and memory against the batch size as a matplotlib figure.

        Args:
            dark: Light letters on a dark ground.

        Raises:
            MissingPackageError: matplotlib is not installed.
        """
        from bigmodel_lab.widgets._cost_plot import cost_figure

        return cost_figure(self, dark=dark)


@dataclass(frozen=True, repr=False)
class HeatMap(Heat):
    """Which pixels make a model say what it says; shows itself as a picture beside its heat map."""

    def plot(self, *, dark: bool = False) -> Figure:
        """The picture, its heat map, and both over each other as a matplotlib figure.

        Args:
            dark: Light letters on a dark ground.

        Raises:
            MissingPackageError: matplotlib is not installed.
        """
        from bigmodel_lab.widgets._heat_plot import heat_figure

        return heat_figure(self, dark=dark)

    def __repr__(self) -> str:
        return text(
            "heat.repr",
            "<HeatMap of {name} ({share}) by {method}; .plot() draws it>",
            name=self.name,
            share=format_value(self.probability, "fraction"),
            method=self.method,
        )

    def _repr_png_(self) -> bytes:
        drawn: bytes = self.plot()._repr_png_()  # type: ignore[attr-defined]
        return drawn


def inference_cost(trainer: Trainer, batch_sizes: Sequence[int]) -> InferenceCost:
    """Measure what an answer costs; see :meth:`bigmodel_lab.TrainingRun.inference_cost`."""
    return InferenceCost(**vars(measure(trainer, batch_sizes, _SECONDS)))


def explain(trainer: Trainer, x: Any, method: str) -> HeatMap:
    """Explain an answer; see :meth:`bigmodel_lab.TrainingRun.explain`."""
    return HeatMap(**vars(heat_of(trainer, x, method)))
