"""An estimate in a notebook: its report and pictures, with a slider and switches where widgets work."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from html import escape
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from bigmodel_lab.errors import BigModelLabError, ConfigError
from bigmodel_lab.i18n import text
from bigmodel_lab.memory.allocator import CachingAllocator
from bigmodel_lab.memory.cards import Card, cards
from bigmodel_lab.memory.fits import Fit, table_of_fits
from bigmodel_lab.memory.replay import Replay, replay
from bigmodel_lab.memory.report import Estimated, report_html, report_text
from bigmodel_lab.memory.requests import RequestTrace
from bigmodel_lab.memory.settings import AllocatorSettings
from bigmodel_lab.widgets._allocator_map import draw_allocator_map
from bigmodel_lab.widgets._cell import Cell
from bigmodel_lab.widgets._frontends import detect
from bigmodel_lab.widgets._memory_picture import MemoryPicture
from bigmodel_lab.widgets._memory_timeline import draw_timeline

if TYPE_CHECKING:
    from ipywidgets import VBox

_PRECISIONS = ("fp32", "tf32", "bf16", "fp16")
_SLIDER_FACTOR = 4  # the slider goes to so many times the micro-batch that it begins with
_WIDGET = "application/vnd.jupyter.widget-view+json"


class Pictured(Estimated, Protocol):
    """An estimate with what its pictures need."""

    @property
    def trace(self) -> RequestTrace:
        """The requests."""

    @property
    def replay(self) -> Replay:
        """What the allocator made of them."""

    @property
    def settings(self) -> AllocatorSettings:
        """Of the allocator."""

    def fits(self, gpu: str | Card | None = None) -> Fit:
        """Whether it fits a card; None is the one that was asked about."""


Again: TypeAlias = Callable[..., Pictured]
"""Estimates again; takes ``micro_batch_size``, ``precision`` and ``checkpointing`` as keywords."""


def estimate_timeline(estimate: Pictured) -> MemoryPicture:
    """The memory timeline of an estimate, with the capacity of its card as a line.

    Args:
        estimate: What was estimated.
    """
    on = estimate.card
    return draw_timeline(
        estimate.trace,
        estimate.replay,
        title=text("estimate.timeline", "GPU memory over the steps"),
        capacity_bytes=None if on is None else on.usable_bytes(),
        card="" if on is None else on.name,
    )


def estimate_map(estimate: Pictured, position: int | None = None) -> MemoryPicture:
    """What the simulated allocator holds at one moment of an estimate.

    Args:
        estimate: What was estimated.
        position: Index into the sequence of its trace, the map is drawn after that entry; None takes the peak.
    """
    at = estimate.replay.peak_position if position is None else position
    held = replay(estimate.trace, CachingAllocator(estimate.settings), until=at + 1).allocator.segments()
    title = text("estimate.map_at", "Allocator map after request or free {position}", position=at + 1)
    if position is None:
        title = text("estimate.map", "Allocator map at the peak")
    return draw_allocator_map(held, estimate.trace, title=title)


def estimate_html(estimate: Pictured, chosen: Sequence[str | Card] = ()) -> str:
    """Report, timeline, map and table of the cards as one piece of HTML.

    Args:
        estimate: What was estimated.
        chosen: Cards of the table, which is open then; empty takes all, folded.
    """
    pictures = [estimate_timeline(estimate).html(), estimate_map(estimate).html()]
    return "".join([report_html(estimate), *pictures, _cards_html(estimate, chosen)])


class EstimateView:
    """Shows an estimate; where widgets work, a slider and switches estimate again.

    A notebook shows it as the last line of a cell. The controls are a widget; report and pictures are a usual output
    below it, put anew at each change, so that a saved notebook keeps them. All is simulated and labelled so.
    """

    def __init__(
        self,
        estimate: Pictured,
        again: Again | None = None,
        *,
        checkpointing: bool = False,
        largest_micro_batch_size: int | None = None,
        cards: Sequence[str | Card] = (),
    ) -> None:
        """Prepare to show an estimate.

        Args:
            estimate: What is shown first.
            again: Estimates with other settings; None shows no controls.
            checkpointing: Whether the first estimate recomputes activations.
            largest_micro_batch_size: Where the slider ends; None takes four times that of the estimate.
            cards: Cards of the table "fits on"; empty takes all.
        """
        self.estimate = estimate
        """What is shown now."""
        self._again, self._cards = again, cards
        self._checkpointing = checkpointing
        self._most = largest_micro_batch_size or _SLIDER_FACTOR * estimate.micro_batch_size
        self._cell = Cell()

    def controls(self) -> VBox:
        """The controls, as a widget of its own; the pictures follow in the output of the cell that showed this view.

        Raises:
            ConfigError: There is nothing that estimates again.
        """
        if self._again is None:
            raise ConfigError(text("error.no_again", "This view has no controls: it was made without again=."))
        from ipywidgets import HTML, HBox, Layout, VBox

        chosen, said = self._settings(), HTML()

        def changed(_change: object) -> None:
            said.value = escape(text("estimate.computing", "Estimating …"))
            said.value = escape(self._estimate_again(*(control.value for control in chosen)))
            self._cell.replace(self._bundle())

        for control in chosen:
            control.observe(changed, names="value")
        return VBox([HBox(chosen, layout=Layout(flex_flow="row wrap", align_items="center")), said])

    def __repr__(self) -> str:
        return report_text(self.estimate)

    def _ipython_display_(self) -> None:
        self._cell = Cell()
        if self._again is not None and detect().kind == "notebook":
            Cell().show(_widget_bundle(self.controls().model_id))
        self._cell.show(self._bundle())

    def _bundle(self) -> dict[str, Any]:
        return {"text/plain": repr(self), "text/html": estimate_html(self.estimate, self._cards)}

    def _settings(self) -> list[Any]:
        """Micro-batch, precision, checkpointing, in the order in which they are read."""
        from ipywidgets import Checkbox, IntSlider, Layout, ToggleButtons

        wide = {"description_width": "initial"}
        size = IntSlider(
            value=self.estimate.micro_batch_size,
            min=1,
            max=max(self._most, self.estimate.micro_batch_size),
            description=text("estimate.micro_batch", "Micro-batch"),
            continuous_update=False,
            style=wide,
        )
        precision = ToggleButtons(
            options=_PRECISIONS,
            value=self.estimate.precision,
            description=text("estimate.precision", "Precision"),
            style={"button_width": "52px", **wide},
            layout=Layout(width="max-content"),
        )
        checkpointing = Checkbox(
            value=self._checkpointing,
            description=text("estimate.checkpointing", "Activation checkpointing"),
            indent=False,
            layout=Layout(width="auto"),
        )
        return [size, precision, checkpointing]

    def _estimate_again(self, micro_batch_size: int, precision: str, checkpointing: bool) -> str:
        """Estimate with these settings; what a person is told when that is not possible, else nothing."""
        assert self._again is not None
        try:
            self.estimate = self._again(
                micro_batch_size=micro_batch_size, precision=precision, checkpointing=checkpointing
            )
        except BigModelLabError as error:
            return text("estimate.failed", "{error} The last estimate is still shown.", error=error)
        return ""


def _cards_html(estimate: Pictured, chosen: Sequence[str | Card]) -> str:
    """The table of the cards below a line that sums it up; open where the cards were chosen."""
    fits = [estimate.fits(one) for one in chosen or cards()]
    counted = Counter(fit.verdict for fit in fits)
    said = text("estimate.fits_on", "Fits on {count} of {all} cards", count=counted["fits"], all=len(fits))
    if counted["uncertain"]:
        said += text("estimate.uncertain_on", ", uncertain on {count}", count=counted["uncertain"])
    whys = "".join(f"<p>{escape(str(fit))}</p>" for fit in fits if chosen and fit.why)
    opened = " open" if chosen else ""
    return f"<details{opened}><summary>{escape(said)}</summary>{table_of_fits(fits).html()}{whys}</details>"


def _widget_bundle(model_id: str) -> dict[str, Any]:
    words = text("estimate.needs_kernel", "A slider and switches stand here while the notebook's kernel runs.")
    # Made here and not by display(): ipywidgets 7 and 8 do it differently, and a page without widgets shows the words.
    view = {"version_major": 2, "version_minor": 0, "model_id": model_id}
    return {_WIDGET: view, "text/plain": words}
