"""Data sets of Hugging Face, through its library ``datasets``, which downloads each of them once."""

from __future__ import annotations

from typing import Any

from bigmodel_lab.errors import DataError, MissingPackageError
from bigmodel_lab.i18n import text


def load_hub(hub_name: str, *, purpose: str, otherwise: str) -> Any:
    """The parts of a data set by name, as the library gives them.

    Args:
        hub_name: Its name there, e.g. ``"ylecun/mnist"``.
        purpose: What the library is needed for, as in "… is needed to download MNIST".
        otherwise: A sentence on what to do without a network.

    Raises:
        MissingPackageError: The library is not installed.
        DataError: It could not get the data; names what was asked for and the other way.
    """
    try:
        from datasets import load_dataset
    except ImportError as error:
        raise MissingPackageError("datasets", purpose, "data") from error
    try:
        return load_dataset(hub_name)
    except (OSError, ValueError) as error:  # the library's own errors all derive from these
        raise DataError(
            text(
                "error.hub_download",
                "Hugging Face's data set {name!r} could not be loaded: {error}. {otherwise}",
                name=hub_name,
                error=error,
                otherwise=otherwise,
            )
        ) from error
