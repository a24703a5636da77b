"""What a question and an answer look like between this project and a tool in an environment of its own."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

MARK = "answer: "
"""Begins each line of an answer; whatever else a tool prints is passed over."""


def serve(answer: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Answer each line of the standard input.

    Args:
        answer: Maps the facts of a program to :func:`figures` or :func:`none`.
    """
    for line in sys.stdin:
        asked = json.loads(line)
        print(MARK + json.dumps({"name": asked["name"], **answer(asked)}), flush=True)


def figures(allocated: float | None = None, device: float | None = None, context: float = 0) -> dict[str, Any]:
    """What a tool says, in bytes.

    Args:
        allocated: What tensors take at the peak; None where it does not say.
        device: What it compares with a card; None where it compares nothing.
        context: How much of ``device`` is the CUDA context, by its own account.
    """
    rounded = [None if figure is None else round(figure) for figure in (allocated, device)]
    return {"allocated": rounded[0], "device": rounded[1], "context": round(context), "reason": ""}


def none(reason: str) -> dict[str, Any]:
    """The tool has no answer.

    Args:
        reason: Why, in a few words.
    """
    return {"allocated": None, "device": None, "context": 0, "reason": reason}
