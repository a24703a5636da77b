"""What stands for a running generator in a copied program."""

from __future__ import annotations

from typing import Any

from bigmodel_lab.errors import TraceError
from bigmodel_lab.i18n import text


class Spent:
    """Stands where a running generator of Python cannot be copied, and must not be moved on."""

    def __init__(self, kind: str) -> None:
        self._kind = kind

    def __iter__(self) -> Spent:
        return self

    def __next__(self) -> Any:
        raise TraceError(
            text(
                "error.trace_generator",
                "The step takes the next value of a {kind}, which would be gone from your own training afterwards, as it cannot be "
                "copied. Give the value with the batch, or let the step make the {kind} itself.",
                kind=self._kind,
            )
        )

    send = throw = close = __next__


def spent(value: object) -> Spent:
    """What stands for this generator or iterator in a copy."""
    return Spent(type(value).__name__)
