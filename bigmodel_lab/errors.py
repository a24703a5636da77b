"""Every error that the library raises on purpose.

The tree (indented = more special; the built-in base in brackets, so that
``except ValueError`` written before this library existed still works)::

    BigModelLabError
    ├── UnknownNameError [KeyError]        a model, data set, optimizer … that does not exist
    ├── ConfigError [ValueError]           a setting that cannot be used as given
    │   └── UnitError                      a size or duration without a unit, or with a wrong one
    ├── DataError [ValueError]             the data cannot be trained on
    │   ├── EmptyDataError                 there are no samples
    │   ├── LabelRangeError                a label outside 0 … classes - 1
    │   └── ShapeError                     samples of a shape that the model does not take
    ├── TrainingError [RuntimeError]       the training itself went wrong
    │   └── NonFiniteLossError             the loss became NaN or infinite
    ├── TraceError [RuntimeError]          a step that cannot be followed without data
    ├── OutOfDeviceMemory [MemoryError]    a request that a simulated card cannot serve
    ├── RunFileError [OSError]             a run file cannot be written, opened or understood
    │   ├── RunFolderError                 the folder for runs cannot be written
    │   └── NewerSchemaError               the file was written by a newer version
    └── MissingPackageError [ImportError]  an optional package is needed and not installed

A message says what came, what is allowed, and what to do.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from bigmodel_lab.i18n import text


class BigModelLabError(Exception):
    """Base of every error raised on purpose by this library."""


class UnknownNameError(BigModelLabError, KeyError):
    """A name that is not a member of its family; lists what exists and suggests the nearest."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        names = sorted(known)
        near = get_close_matches(name, names, n=1)
        hint = text("error.did_you_mean", " Did you mean {name!r}?", name=near[0]) if near else ""
        self.message = text(
            "error.unknown_name",
            "There is no {kind} named {name!r}.{hint} These exist: {known}.",
            kind=kind,
            name=name,
            hint=hint,
            known=", ".join(names) or "none",
        )
        super().__init__(self.message)

    def __str__(self) -> str:  # KeyError would print the repr of the message
        return self.message


class ConfigError(BigModelLabError, ValueError):
    """A setting that cannot be used as given."""


class UnitError(ConfigError):
    """A size or duration without a unit, or with one that is not understood."""


class DataError(BigModelLabError, ValueError):
    """The data cannot be trained on."""


class EmptyDataError(DataError):
    """There are no samples."""


class LabelRangeError(DataError):
    """A label lies outside 0 … classes - 1."""


class ShapeError(DataError):
    """The samples have a shape that the model does not take."""


class TrainingError(BigModelLabError, RuntimeError):
    """The training itself went wrong."""


class NonFiniteLossError(TrainingError):
    """The loss became NaN or infinite; ``step`` tells where."""

    def __init__(self, message: str, *, step: int) -> None:
        super().__init__(message)
        self.step = step


class TraceError(BigModelLabError, RuntimeError):
    """A step that cannot be followed without data, or without a card."""


class OutOfDeviceMemory(BigModelLabError, MemoryError):  # noqa: N818 - named after the event, as MemoryError is
    """A request that a simulated card cannot serve, cached memory given back and all."""

    def __init__(
        self,
        message: str,
        *,
        requested_bytes: int,
        segment_bytes: int,
        allocated_bytes: int,
        reserved_bytes: int,
        capacity_bytes: int | None,
    ) -> None:
        super().__init__(message)
        self.requested_bytes = requested_bytes
        """What the program asked for."""
        self.segment_bytes = segment_bytes
        """What the driver was asked for: the number in PyTorch's own message."""
        self.allocated_bytes = allocated_bytes
        """In use at that moment."""
        self.reserved_bytes = reserved_bytes
        """Held from the driver at that moment, after all that could be was given back."""
        self.capacity_bytes = capacity_bytes
        """What this process may reserve in all; None where the driver alone decided."""


class RunFileError(BigModelLabError, OSError):
    """A run file cannot be written, opened or understood."""


class RunFolderError(RunFileError):
    """The folder for run files cannot be written."""


class NewerSchemaError(RunFileError):
    """The run file was written by a newer version of the library."""


class MissingPackageError(BigModelLabError, ImportError):
    """An optional package is needed for this and is not installed."""

    def __init__(self, package: str, purpose: str, extra: str) -> None:
        super().__init__(
            text(
                "error.missing_package",
                "{package} is needed to {purpose} and is not installed here. "
                'Install it with:  pip install "bigmodel_lab[{extra}]"',
                package=package,
                purpose=purpose,
                extra=extra,
            ),
            name=package,
        )
