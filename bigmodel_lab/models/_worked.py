"""Worked examples as readable text: formula, value, and what the document prints instead."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from bigmodel_lab.i18n import Text, text


@dataclass(frozen=True)
class Shown:
    """One step of a worked example."""

    formula: str
    """What is computed, e.g. ``"z1 = X·W1 + b1"``."""
    value: Tensor | float
    """What comes out: a number, a row or a matrix."""
    printed: str | None = None
    """What the document prints instead; None where it prints nothing, or the same."""
    erratum: Text | None = None
    """Why the document is wrong here; None where it is not."""


def as_text(title: str, steps: Sequence[Shown]) -> str:
    """All steps, numbered from 1, under a title.

    >>> print(as_text("One sum", [Shown("s = 1 + 2", 3.0, printed="4")]))
    One sum
    <BLANKLINE>
     1. s = 1 + 2 = 3
        The document prints: 4
    """
    lines = [title, ""]
    for number, step in enumerate(steps, start=1):
        lines.append(f"{number:2}. {step.formula}{_value(step.value)}")
        if step.printed is not None:
            lines.append("    " + text("worked.printed", "The document prints: {printed}", printed=step.printed))
        if step.erratum is not None:
            lines.append(f"    {step.erratum}")
    return "\n".join(lines)


def _value(value: Tensor | float) -> str:
    """A number behind the formula, a matrix in lines below it."""
    if isinstance(value, Tensor) and value.ndim:
        rows = (value + 0.0).reshape(-1, value.shape[-1]).tolist()  # + 0.0 makes 0 of -0
        return "".join("\n      " + " ".join(f"{x:9.4f}" for x in row) for row in rows)
    return f" = {float(value):.6g}"
