"""An estimate in words: what the peak is, whether it fits, what it consists of, when it comes.

Reads anything with the attributes of an estimate, so that it also serves as its text in a terminal.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Protocol

from bigmodel_lab._table import Table
from bigmodel_lab.i18n import text
from bigmodel_lab.memory.cards import Card
from bigmodel_lab.memory.categories import SHOWN, category_label, category_meaning, known, share_in_words, theme_css
from bigmodel_lab.memory.fits import Fit
from bigmodel_lab.memory.requests import Allocation
from bigmodel_lab.memory.timeline import largest_table
from bigmodel_lab.units import format_bytes

_BAR_LETTERS = 30
_BAR_STYLE = (
    ".bml-bar{display:flex;height:18px;max-width:960px;margin:6px 0 2px;border:1px solid rgba(128,128,128,.45)}"
    + "".join(f".bml-bar .k{nth},.bml-key .k{nth}{{background:var(--k{nth})}}" for nth in range(len(SHOWN)))
    + ".bml-key span{margin-right:16px;white-space:nowrap}"
    ".bml-key i{display:inline-block;width:11px;height:11px;border-radius:2px;margin-right:5px}"
)


class PeakMoment(Protocol):
    """What the program did when it held the most."""

    @property
    def phase(self) -> str:
        """``"forward"``, ``"backward"``, ``"optimizer"``, or a name of its own."""

    @property
    def step(self) -> int:
        """Number of the optimizer step, from 0; -1 before the first."""

    @property
    def module(self) -> str:
        """Module that asked for memory then; ``""`` outside every module."""

    @property
    def maker(self) -> str:
        """Operation that asked for it."""

    @property
    def largest(self) -> tuple[Allocation, ...]:
        """The largest allocations alive then, the largest first."""


class Estimated(Protocol):
    """What a report says something about."""

    @property
    def peak_allocated_bytes(self) -> int:
        """Most bytes of tensors at once."""

    @property
    def reserved_range(self) -> tuple[int, int]:
        """Least and most that the allocator is expected to hold."""

    @property
    def device_bytes(self) -> int | None:
        """Of the card at the peak, context included; None without a card."""

    @property
    def by_category(self) -> Mapping[str, int]:
        """Bytes alive at the peak."""

    @property
    def moment_of_peak(self) -> PeakMoment:
        """When the peak comes."""

    @property
    def micro_batch_size(self) -> int:
        """Samples of one forward pass."""

    @property
    def precision(self) -> str:
        """Number format of the forward pass."""

    @property
    def notes(self) -> Sequence[str]:
        """What could not be followed."""

    @property
    def card(self) -> Card | None:
        """The card that was asked about."""

    def fits(self) -> Fit:
        """Whether it fits that card."""


def headline(estimate: Estimated) -> str:
    """The peak, and whether it fits the card that was asked about, in two sentences at most."""
    peak = text(
        "estimate.headline",
        "Peak {allocated} allocated, {reserved} reserved (simulated).",
        allocated=format_bytes(estimate.peak_allocated_bytes),
        reserved=range_in_words(*estimate.reserved_range),
    )
    return peak if estimate.card is None else f"{peak} {estimate.fits()}"


def report_text(estimate: Estimated) -> str:
    """The report for a terminal."""
    parts = [headline(estimate), _settings(estimate), category_table(estimate.by_category).text()]
    parts += [moment_in_words(estimate.moment_of_peak), _largest(estimate).text(), *_notes(estimate)]
    return "\n\n".join(part for part in parts if part)


def report_html(estimate: Estimated) -> str:
    """The report for a page, in its colours, light or dark."""
    lines = [f"<p><b>{escape(headline(estimate))}</b><br>{escape(_settings(estimate))}</p>"]
    lines += [category_bar(estimate.by_category), f"<p>{escape(moment_in_words(estimate.moment_of_peak))}</p>"]
    lines += [_largest(estimate).html(), *(f"<p>{escape(note)}</p>" for note in _notes(estimate))]
    return "".join(lines)


def range_in_words(least: int, most: int) -> str:
    """Two sizes as one, the unit once where both have the same.

    >>> range_in_words(2_469_606_195, 2_791_728_742), range_in_words(2**20, 2**30), range_in_words(512, 512)
    ('2.3–2.6 GiB', '1 MiB – 1 GiB', '512 B')
    """
    low, high = format_bytes(least), format_bytes(most)
    if low == high:
        return low
    number, unit = low.split()
    return f"{number}–{high}" if high.endswith(f" {unit}") else f"{low} – {high}"


def moment_in_words(moment: PeakMoment) -> str:
    """When the peak comes, as a sentence. Steps are counted from 1 for a person."""
    phase = {
        "load": text("estimate.while_loading", "while the model is loaded"),
        "forward": text("estimate.in_forward", "in the forward pass"),
        "backward": text("estimate.in_backward", "in the backward pass"),
        "optimizer": text("estimate.in_optimizer", "in the optimizer's step"),
    }.get(moment.phase, text("estimate.in_phase", "in {phase}", phase=moment.phase))
    of_step = text("estimate.of_step", " of step {step}", step=moment.step + 1) if moment.step >= 0 else ""
    return text(
        "estimate.peak_comes",
        "The peak comes {phase}{of_step}{where}.",
        phase=phase,
        of_step=of_step,
        where=_where(moment),
    )


def category_table(by_category: Mapping[str, int]) -> Table:
    """Bytes at the peak by category, with a bar for a terminal.

    >>> print(category_table({"parameter": 3 * 2**20, "gradient": 2**20}).text())
    at the peak   size  share
    parameters   3 MiB   75 %  ██████████████████████
    gradients    1 MiB   25 %  ████████
    """
    whole = max(sum(by_category.values()), 1)
    heads = (
        text("estimate.at_peak", "at the peak"),
        text("memory.size", "size"),
        text("estimate.share", "share"),
        "",
    )
    rows = tuple(
        (
            category_label(name),
            format_bytes(held),
            share_in_words(held, whole),
            "█" * round(_BAR_LETTERS * held / whole),
        )
        for name, held in by_category.items()
        if held
    )
    return Table(heads, rows, right={1, 2})


def category_bar(by_category: Mapping[str, int]) -> str:
    """Bytes at the peak by category as a bar of HTML, the names below it."""
    whole = max(sum(by_category.values()), 1)
    pieces, names = [], []
    for name, held in by_category.items():
        if held:
            words = f"{category_label(name)} {format_bytes(held)} ({share_in_words(held, whole)})"
            colour = f'class="k{SHOWN.index(known(name))}"'
            pieces.append(f'<span {colour} style="width:{100 * held / whole:.2f}%" title="{escape(words)}"></span>')
            names.append(f'<span title="{escape(category_meaning(name))}"><i {colour}></i>{escape(words)}</span>')
    style = f"<style>{_BAR_STYLE}{theme_css('.bml-parts', page=True)}</style>"
    bar = f'<div class="bml-bar">{"".join(pieces)}</div><div class="bml-key">{"".join(names)}</div>'
    return f'{style}<div class="bml-parts">{bar}</div>'


def _settings(estimate: Estimated) -> str:
    words = text(
        "estimate.settings",
        "Micro-batch {samples}, {precision}.",
        samples=estimate.micro_batch_size,
        precision=estimate.precision,
    )
    if estimate.device_bytes is None:
        return words
    size = format_bytes(estimate.device_bytes)
    return f"{words} " + text("estimate.device", "With the CUDA context: {size} of the card.", size=size)


def _where(moment: PeakMoment) -> str:
    if moment.module and moment.maker:
        return text(
            "estimate.when_module",
            ", when module {module} asks for memory in {maker}",
            module=moment.module,
            maker=moment.maker,
        )
    return text("estimate.when_maker", ", in {maker}", maker=moment.maker) if moment.maker else ""


def _largest(estimate: Estimated) -> Table:
    return largest_table(estimate.moment_of_peak.largest, text("estimate.largest", "Largest at the peak"))


def _notes(estimate: Estimated) -> list[str]:
    return [text("estimate.note", "Note: {note}", note=note) for note in estimate.notes]
