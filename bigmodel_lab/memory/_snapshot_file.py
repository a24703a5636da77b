"""Snapshot files from elsewhere, read without running what they say.

A pickle is a program: unpickling it as it is may do anything. A snapshot holds numbers, texts and containers, so here
a pickle may name nothing at all.
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

from bigmodel_lab.errors import DataError
from bigmodel_lab.i18n import text

_BROKEN = (  # what the standard library raises for bytes that make no sense
    pickle.UnpicklingError,
    EOFError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    MemoryError,
)


class _PlainOnly(pickle.Unpickler):
    """Makes numbers, texts and containers, and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        """Nothing may be named.

        Raises:
            UnpicklingError: Always.
        """
        message = "it asks for {module}.{name}, which no snapshot needs"
        raise pickle.UnpicklingError(text("error.snapshot_name", message, module=module, name=name))


def read_plain_pickle(path: Path) -> Any:
    """What a pickle file holds, if these are numbers, texts and containers.

    Args:
        path: The file, of any protocol of pickle.

    Raises:
        DataError: The file cannot be read, is broken, or holds anything else.
    """
    try:
        with path.open("rb") as file:
            return _PlainOnly(file).load()
    except (OSError, *_BROKEN) as error:
        raise DataError(
            text(
                "error.snapshot_unreadable",
                "{path} cannot be read as a memory snapshot: {error}. Only what torch.cuda.memory._dump_snapshot() "
                "writes is opened, as any other pickle could run a program.",
                path=str(path),
                error=error,
            )
        ) from error
