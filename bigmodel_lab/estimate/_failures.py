"""Errors that a person's own step or model raises while it is traced, in words that name the line."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from bigmodel_lab.errors import TraceError
from bigmodel_lab.i18n import text
from bigmodel_lab.trace._attempts import Caught

_OURS = Path(__file__).resolve().parents[1]
_TORCH = Path(torch.__file__).resolve().parent


@contextmanager
def in_words() -> Iterator[None]:
    """Inside, an error of the traced program becomes a :class:`TraceError` that quotes it and names its line.

    Raises:
        TraceError: In the place of whatever the program raises, errors of its own classes and ``sys.exit`` included. Errors of this
            library, interruptions and a lack of memory pass.
    """
    with Caught() as caught:
        yield
    error = caught.error
    if isinstance(error, MemoryError):  # of the machine that estimates, and no fault of the step
        raise error
    if error is not None:
        raise TraceError(
            text(
                "error.estimate_step_failed",
                "The step raised {kind}: {error}{where}. The estimate runs it on tensors that have shapes and no values, in training mode "
                "on a copy of the model. If it also fails on a real batch, mend it there; if not, give a step= without what needs values.",
                kind=type(error).__name__,
                error=str(error).strip().rstrip(".") or "(no message)",
                where=_where(error),
            )
        ) from error


def _where(error: BaseException) -> str:
    """The last line of the person's own program, as far as there is one; else the last of all."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [
        frame for frame in frames if not _is_inside(frame.filename, _OURS) and not _is_inside(frame.filename, _TORCH)
    ]
    if not own:
        return ""
    last = own[-1]
    return text(
        "estimate.at_line",
        " ({file}, line {line}, in {function})",
        file=last.filename,
        line=last.lineno,
        function=last.name,
    )


def _is_inside(filename: str, folder: Path) -> bool:
    return folder in Path(filename).parents
