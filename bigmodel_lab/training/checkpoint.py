"""Checkpoints on disk: weights, and everything else that a later process needs to go on, whole or not at all.

A checkpoint is a folder, e.g. ``20261122-120000-mlp-a1b2c3.checkpoints/best`` beside the run file::

    checkpoint.json                     facts, and the names of the other two files
    weights-000150-3f9a2c.safetensors   the model's tensors, for every program that reads safetensors
    training-000150-3f9a2c.pt           optimizer, scaler, random numbers, position; torch.load(weights_only=True)

Each file is written under another name, flushed to the disk, then renamed. ``checkpoint.json`` comes last and names
the two that belong together: wherever writing is cut off, the folder holds the old checkpoint or the new one.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor, nn

from bigmodel_lab.errors import ConfigError, MissingPackageError, RunFileError, UnknownNameError
from bigmodel_lab.i18n import text
from bigmodel_lab.runlog import SUFFIX

FACTS = "checkpoint.json"
"""The file that makes a folder a checkpoint."""
FOLDERS = ".checkpoints"
"""Suffix of the folder that holds a run's checkpoints."""


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint on disk; made by :func:`find_checkpoint` and :func:`write_checkpoint`."""

    folder: Path
    """Where its files lie."""
    facts: Mapping[str, Any]
    """Run, model, data, settings, ``step`` (optimizer steps made), ``epoch`` (epochs completed), losses."""

    @property
    def step(self) -> int:
        """Optimizer steps made."""
        return int(self.facts["step"])

    @property
    def run_file(self) -> Path:
        """The run file that it belongs to, where it has not been moved."""
        return self.folder.parent.with_name(self.folder.parent.name.removesuffix(FOLDERS) + SUFFIX)

    def weights(self) -> dict[str, Tensor]:
        """The model's tensors by name, on the CPU; tied ones under each of their names.

        Raises:
            RunFileError: The file is missing or damaged.
        """
        return read_weights(self._file("weights"))

    def training(self) -> dict[str, Any]:
        """What :meth:`Trainer.load_state` takes, on the CPU, without the tensors of the model; and ``config``.

        Raises:
            RunFileError: The file is missing, damaged, or holds more than tensors and plain values.
        """
        path = self._file("training")
        try:
            return dict(torch.load(path, map_location="cpu", weights_only=True))
        except (OSError, RuntimeError, UnpicklingError, EOFError) as error:
            raise _unreadable(path, error) from error

    def _file(self, kind: str) -> Path:
        return self.folder / str(self.facts["files"][kind])


def checkpoints_folder(run_file: Path) -> Path:
    """Where the checkpoints of a run lie: beside its file.

    >>> checkpoints_folder(Path("runs/first.bmlrun")).as_posix()
    'runs/first.checkpoints'
    """
    return run_file.with_name(run_file.stem + FOLDERS)


def write_checkpoint(folder: Path, state: Mapping[str, Any], facts: Mapping[str, Any]) -> Checkpoint:
    """Write a checkpoint over the one that the folder may hold; on any error the old one stays whole.

    Args:
        folder: Made when missing; its name is the checkpoint's, e.g. ``best``.
        state: What :meth:`Trainer.state` gave, and ``config``: tensors and plain values.
        facts: Values of JSON; ``step`` becomes part of the names of the files.

    Raises:
        OSError: It cannot be written, e.g. as the disk is full.
        MissingPackageError: safetensors is not installed.
    """
    mark = f"{facts['step']:06d}-{secrets.token_hex(3)}"
    files = {"weights": f"weights-{mark}.safetensors", "training": f"training-{mark}.pt"}
    named = {**facts, "files": files}
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: value for name, value in state["model"].items() if isinstance(value, Tensor)}
    other = {name: value for name, value in state["model"].items() if name not in tensors}
    try:
        with _whole(folder / files["weights"]) as path:
            _save_weights(tensors, path)
        with _whole(folder / files["training"]) as path:
            _save_training({**state, "model": other}, path)
        with _whole(folder / FACTS) as path:
            path.write_text(json.dumps(named, indent=1), encoding="utf-8")
    finally:
        _sweep(folder)
    return Checkpoint(folder, named)


def find_checkpoint(path: str | os.PathLike[str], which: str | None = None) -> Checkpoint:
    """The checkpoint that lies here.

    Args:
        path: A run file, the folder of its checkpoints, or the folder of one checkpoint.
        which: ``"best"`` or ``"last"``; None takes the one that has made the most steps.

    Raises:
        RunFileError: There is no checkpoint, or its facts cannot be read.
        UnknownNameError: There is none of this name.
    """
    given = Path(path).expanduser()
    folder = checkpoints_folder(given) if given.suffix == SUFFIX else given
    if (folder / FACTS).is_file():
        return _read(folder)
    found = {file.parent.name: _read(file.parent) for file in folder.glob(f"*/{FACTS}")}
    if not found:
        raise RunFileError(
            text(
                "checkpoint.none",
                "There is no checkpoint at {path}. Give a run file beside which one lies, or the folder of a "
                'checkpoint. Runs keep them with checkpoint="best" or "every_epoch", or by run.checkpoint().',
                path=given,
            )
        )
    if which is not None and which not in found:
        raise UnknownNameError(text("checkpoint.kind", "checkpoint"), which, found)
    return found[which] if which else max(found.values(), key=lambda one: one.step)


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file by name, on the CPU; tied ones under each of their names.

    Raises:
        RunFileError: There is no such file, or it is damaged.
        MissingPackageError: safetensors is not installed.
    """
    need_safetensors()
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), "pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
            tied = json.loads((file.metadata() or {}).get("tied", "{}"))
    except (OSError, SafetensorError) as error:
        raise _unreadable(path, error) from error
    return {**tensors, **{name: tensors[twin] for name, twin in tied.items()}}


def put_weights(model: nn.Module, weights: Mapping[str, Any], origin: Path) -> None:
    """Put these weights into the model.

    Raises:
        ConfigError: Names or shapes are not those of the model.
    """
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise ConfigError(
            text(
                "checkpoint.other_model",
                "The weights in {path} are not those of a {model}: {error}",
                path=origin,
                model=type(model).__name__,
                error=error,
            )
        ) from error


def need_safetensors() -> None:
    """Make sure that safetensors is there.

    Raises:
        MissingPackageError: It is not installed.
    """
    try:
        import safetensors.torch  # noqa: F401
    except ImportError as error:
        purpose = text("checkpoint.purpose", "write and read checkpoints")
        raise MissingPackageError("safetensors", purpose, "train") from error


def _save_training(state: Mapping[str, Any], path: Path) -> None:
    try:
        torch.save(dict(state), path)
    except RuntimeError as error:  # so torch reports a disk that is full
        raise _unwritable(path, error) from error


def _save_weights(tensors: Mapping[str, Tensor], path: Path) -> None:
    need_safetensors()
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    twins = _twins(tensors)
    # copies, as safetensors refuses tensors that share memory or are not contiguous
    own = {name: _copied(value) for name, value in tensors.items() if name not in twins}
    try:
        save_file(own, path, metadata={"format": "pt", "tied": json.dumps(twins)})
    except SafetensorError as error:
        raise _unwritable(path, error) from error


def _copied(value: Tensor) -> Tensor:
    return value.detach().to("cpu", copy=True).contiguous()


def _twins(tensors: Mapping[str, Tensor]) -> dict[str, str]:
    """Names of tensors that are the very same memory as an earlier one, and its name: tied weights."""
    first: dict[tuple[Any, ...], str] = {}
    twins = {}
    for name, value in tensors.items():
        key = (value.device, value.data_ptr(), value.shape, value.stride(), value.dtype)
        if value.numel() and first.setdefault(key, name) != name:
            twins[name] = first[key]
    return twins


@contextmanager
def _whole(path: Path) -> Iterator[Path]:
    """A name to write under; at the end the file is on the disk under its own name, or after an error gone."""
    part = path.with_name(f".{path.name}.part")
    try:
        yield part
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _sweep(folder: Path) -> None:
    """Remove files that the facts do not name: of the checkpoint before, or of one that failed."""
    facts = folder / FACTS
    named = set(_read(folder).facts["files"].values()) if facts.is_file() else set()
    for file in folder.iterdir():
        if file != facts and file.name not in named:
            file.unlink(missing_ok=True)


def _read(folder: Path) -> Checkpoint:
    path = folder / FACTS
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error
    if not (isinstance(facts, dict) and isinstance(facts.get("step"), int) and _names_both(facts.get("files"))):
        raise _unreadable(
            path, ValueError(text("checkpoint.no_facts", "It holds other JSON than that of a checkpoint"))
        )
    return Checkpoint(folder, facts)


def _names_both(files: object) -> bool:
    return isinstance(files, dict) and {"weights", "training"} <= files.keys()


def _unwritable(path: Path, error: BaseException) -> RunFileError:
    return RunFileError(
        text(
            "checkpoint.unwritable",
            "{path} cannot be written: {error} The checkpoint before it, if any, is still whole.",
            path=path,
            error=str(error).rstrip(".") + ".",
        )
    )


def _unreadable(path: Path, error: BaseException) -> RunFileError:
    return RunFileError(
        text(
            "checkpoint.unreadable",
            "{path} cannot be read: {error} Take another checkpoint of the run, or train anew.",
            path=path,
            error=str(error).rstrip(".") + ".",
        )
    )
