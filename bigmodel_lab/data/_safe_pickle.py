"""Pickle files of arrays from elsewhere, without running what they say.

A pickle is a program: unpickling it as it is may do anything. Here it may name nothing but what makes a
NumPy array; every other name is refused before it is looked up.
"""

from __future__ import annotations

import pickle
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from bigmodel_lab.errors import DataError
from bigmodel_lab.i18n import text


def _bytes_of(letters: str, encoding: str) -> bytes:
    """Bytes as Python 3 writes them for Python 2: as Latin-1 text, with a note to encode it."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(
            text("error.pickle_encoding", "it asks for the encoding {encoding!r}", encoding=encoding)
        )
    return letters.encode("latin1")


_RECONSTRUCT = np.empty(0).__reduce__()[0]  # the function that pickled arrays name, wherever this NumPy keeps it
_ALLOWED = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("numpy.core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy._core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("_codecs", "encode"): _bytes_of,
}
_BROKEN = (  # what the standard library and NumPy raise for bytes that make no sense
    pickle.UnpicklingError,
    EOFError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    MemoryError,
)


class _ArraysOnly(pickle.Unpickler):
    """Makes numbers, texts, containers and NumPy arrays, and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        """What a pickle may name.

        Raises:
            UnpicklingError: It names anything but the parts of an array.
        """
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(
                text("error.pickle_name", "it asks for {module}.{name}, which is no array", module=module, name=name)
            )
        return _ALLOWED[module, name]


def read_arrays(path: Path) -> Any:
    """What a pickle file holds, if these are numbers, texts, containers and NumPy arrays.

    Args:
        path: The file, of pickle's protocol 0 … 4; what Python 2 wrote is read too, its byte strings as Latin-1 text.

    Raises:
        DataError: The file cannot be read, is broken, or holds anything else.

    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "arrays"
    >>> _ = file.write_bytes(pickle.dumps({"data": np.arange(3)}, protocol=4))
    >>> read_arrays(file)["data"].tolist()
    [0, 1, 2]
    """
    try:
        return _ArraysOnly(BytesIO(path.read_bytes()), encoding="latin1").load()
    except (OSError, *_BROKEN) as error:
        raise DataError(
            text(
                "error.pickle_unreadable",
                "{path} cannot be read: {error}. Only pickles of numbers, texts and NumPy arrays are opened, as any "
                "other could run a program. Was the download cut off?",
                path=str(path),
                error=error,
            )
        ) from error
