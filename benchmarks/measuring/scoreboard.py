"""The arithmetic of the scoreboard: how far answers are from measured peaks, and what each tool would have let run.

Error: of a tool's figure for tensors against the measured peak allocated, or of its figure for the card, less the context
by its own account, against the measured peak reserved: the nearer of the two counts for every other tool. Of ours
only the first does.

Fitting: a card that leaves the allocator less than the measured peak allocated cannot run the program, whatever the
allocator does. Cards at :data:`TOO_SMALL` of that peak are imagined; "fits" is false where a tool's figure lies at or below one.
A card with :data:`LARGE_ENOUGH` of the measured peak reserved ran it; a tool whose figure lies above refuses it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean, median
from typing import Any

from benchmarks.measured.program import Peak

OURS = "bigmodel_lab"
MISS = 0.05
"""A larger error is a miss."""
TOO_SMALL = (0.99, 0.90)
"""Of the measured peak allocated: cards on which the program cannot run."""
LARGE_ENOUGH = 1.10
"""Of the measured peak reserved: a card on which it ran with room left."""


@dataclass(frozen=True)
class Answer:
    """What a tool says of a program."""

    tool: str
    program: str
    allocated: int | None = None
    """What tensors take at the peak, in bytes; None where it does not say."""
    least: int | None = None
    """Least that the allocator is said to need of a card; None where it does not say."""
    most: int | None = None
    """Most; the same where a tool has one figure."""
    reason: str = ""
    """Why there is no answer."""

    @property
    def given(self) -> bool:
        """There is a figure."""
        return self.allocated is not None or self.most is not None

    @property
    def largest(self) -> int:
        """The figure that fitting is judged by."""
        figure = self.allocated if self.most is None else self.most
        assert figure is not None
        return figure

    @property
    def smallest(self) -> int:
        """The figure that refusing is judged by."""
        figure = self.allocated if self.least is None else self.least
        assert figure is not None
        return figure

    def error(self, peak: Peak) -> float:
        """Relative; above 0 is too much.

        Args:
            peak: What was measured.

        >>> Answer("other", "mlp", allocated=90, least=150, most=150).error(Peak("mlp", "T4", 100, 148, ""))
        0.013513513513513514
        """
        errors = [] if self.allocated is None else [(self.allocated - peak.allocated_bytes) / peak.allocated_bytes]
        if self.tool != OURS and self.most is not None:
            errors.append((self.most - peak.reserved_bytes) / peak.reserved_bytes)
        return min(errors, key=abs)


def answer_of(tool: str, said: dict[str, Any]) -> Answer:
    """From what an adapter printed.

    Args:
        tool: Its name.
        said: As :mod:`benchmarks.rivals.answers` has it.
    """
    device = said["device"]
    allocator = None if device is None else device - said["context"]
    return Answer(tool, said["name"], said["allocated"], allocator, allocator, said["reason"])


@dataclass(frozen=True)
class Line:
    """One tool over some programs."""

    tool: str
    asked: int
    """Programs."""
    answered: int
    """Programs that it has a figure for; all that follows is over these."""
    mean: float | None
    """Of the absolute errors; None where nothing was answered."""
    middle: float | None
    """Their median."""
    most: float | None
    """The error that is farthest from 0, with its sign."""
    misses: int
    """Errors above :data:`MISS`."""
    false_fits: tuple[int, ...]
    """Programs that it lets run on a card of each size of :data:`TOO_SMALL`."""
    refused: int
    """Programs that it refuses on a card that ran them."""
    ours: float | None
    """Mean absolute error of ours over the same programs; None where ours answered none of them."""


def line_of(tool: str, answers: Iterable[Answer], peaks: dict[str, Peak]) -> Line:
    """Sum up.

    Args:
        tool: Whose answers count.
        answers: Of any tools.
        peaks: The programs that count.
    """
    counted = [answer for answer in answers if answer.program in peaks]
    own = [answer for answer in counted if answer.tool == tool]
    pairs = [(answer, peaks[answer.program]) for answer in own if answer.given]
    errors = [answer.error(peak) for answer, peak in pairs]
    absolute = [abs(error) for error in errors]
    same = {answer.program for answer, _ in pairs}
    ours = [a for a in counted if a.tool == OURS and a.given and a.program in same]
    return Line(
        tool,
        len(own),
        len(pairs),
        fmean(absolute) if absolute else None,
        median(absolute) if absolute else None,
        max(errors, key=abs) if errors else None,
        sum(error > MISS for error in absolute),
        tuple(sum(answer.largest <= share * peak.allocated_bytes for answer, peak in pairs) for share in TOO_SMALL),
        sum(answer.smallest > LARGE_ENOUGH * peak.reserved_bytes for answer, peak in pairs),
        fmean(abs(answer.error(peaks[answer.program])) for answer in ours) if ours else None,
    )


KINDS = {
    "real": "measured on a Tesla T4",
    "recorded": "recorded on cards by others, rebuilt",
    "emulated": "emulated card (no convolutions in fp32, no recurrent layers)",
}
"""Where peaks come from."""
NOT_JUDGED = (
    "Not judged by any card yet: workspaces of cuDNN (convolutions in fp32, recurrent layers) and cuDNN's attention; "
    "the emulated card knows none of them."
)


def report_of(tools: Sequence[str], answers: Sequence[Answer], peaks: Sequence[Peak]) -> str:
    """All tables as text.

    Args:
        tools: In the order of the lines.
        answers: Of all of them.
        peaks: Of all programs.
    """
    parts = []
    for kind, title in KINDS.items():
        chosen = {peak.name: peak for peak in peaks if peak.kind == kind}
        if chosen:
            lines = [line_of(tool, answers, chosen) for tool in tools]
            parts += [f"{len(chosen)} peaks {title}", _HEAD, *map(_text, lines), ""]
    return "\n".join([*parts, *_program_lines(tools, answers, peaks), "", *_reasons(answers), "", NOT_JUDGED])


_HEAD = (
    f"{'tool':<17}{'answered':>10}{'mean error':>12}{'median':>9}{'largest':>10}{'> 5 %':>7}"
    f"{'false fits 99 %':>17}{'90 %':>6}{'refused':>9}{'ours there':>12}"
)


def _text(line: Line) -> str:
    def share(value: float | None, sign: str = "") -> str:
        return "–" if value is None else f"{value:{sign}.2%}"

    near, far = line.false_fits
    return (
        f"{line.tool:<17}{f'{line.answered} / {line.asked}':>10}{share(line.mean):>12}{share(line.middle):>9}"
        f"{share(line.most, '+'):>10}{line.misses:>7}{near:>17}{far:>6}{line.refused:>9}{share(line.ours):>12}"
    )


def _program_lines(tools: Sequence[str], answers: Sequence[Answer], peaks: Sequence[Peak]) -> list[str]:
    """Each program with the error of every tool."""
    by_place = {(answer.tool, answer.program): answer for answer in answers}
    width = max((len(peak.name) for peak in peaks), default=7)
    lines = [f"{'program':<{width}}" + "".join(f"{tool:>17}" for tool in tools)]
    for peak in peaks:
        found = [by_place.get((tool, peak.name)) for tool in tools]
        shown = [f"{answer.error(peak):+.2%}" if answer and answer.given else "–" for answer in found]
        lines.append(f"{peak.name:<{width}}" + "".join(f"{text:>17}" for text in shown))
    return lines


def _reasons(answers: Iterable[Answer]) -> list[str]:
    """Why there is no answer, each reason once with how often."""
    counted: dict[tuple[str, str], int] = {}
    for answer in answers:
        if not answer.given:
            place = (answer.tool, answer.reason)
            counted[place] = counted.get(place, 0) + 1
    return ["no answer:", *(f"  {tool}, {count}: {reason}" for (tool, reason), count in counted.items())]
