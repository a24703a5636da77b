"""The allocator's own events of a case, kept as a recording for the tests of the simulated one."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import torch

from benchmarks.gpu.cases import Case
from bigmodel_lab.errors import DataError
from bigmodel_lab.i18n import text
from bigmodel_lab.memory.recording import Recording, from_device_trace
from bigmodel_lab.memory.settings import AllocatorSettings

Result = TypeVar("Result")
_MOST_EVENTS = 1_000_000
_EMULATED = "emulated "
_INEXACT = 1e-6


def recorded(run: Callable[[], Result], workload: str, device: str = "cuda:0") -> tuple[Result, Recording]:
    """What a function returns, and everything that the allocator did meanwhile.

    A memory fraction that was set before, and each that is set meanwhile, is kept with its place among the events.

    Args:
        run: May begin with an allocator that holds something.
        workload: What it is, in words.
        device: A CUDA device.

    Raises:
        DataError: Memory of CUDA graphs was in use, or the allocator's settings were changed meanwhile.
    """
    history = torch.cuda.memory._record_memory_history  # noqa: SLF001 - torch has no public one
    settings = _settings(_snapshot(device))
    history("all", context=None, stacks="python", max_entries=_MOST_EVENTS, clear_history=True)
    try:
        with _fractions_noted(device, settings) as fractions:
            result = run()
        snapshot, index = _snapshot(device), _index(device)
        stats = torch.cuda.memory_stats(device)
    finally:
        history(None)
    if _settings(snapshot) != settings:
        raise DataError(
            text(
                "recording.settings_changed",
                "The allocator's settings changed from {before!r} to {after!r} while it was recorded, which a recording "
                "does not hold. Record each part by itself.",
                before=settings,
                after=_settings(snapshot),
            )
        )
    recording = from_device_trace(
        snapshot["device_traces"][index],
        segments=snapshot.get("segments"),
        device=index,
        settings=settings,
        card=card_name(device),
        total_bytes=torch.cuda.get_device_properties(device).total_memory,
        torch_version=torch.__version__,
        workload=workload,
        stats={name: value for name, value in stats.items() if not name.startswith("num_device_")},
        fractions=fractions,
    )
    return result, recording


def is_emulated() -> bool:
    """Whether the card is emulated: so an environment says that has ``EMU_CARD``."""
    return "EMU_CARD" in os.environ


def card_name(device: str) -> str:
    """Name of a card, as it is kept: an emulated one says so."""
    name = torch.cuda.get_device_name(device)
    return _EMULATED + name if is_emulated() else name


def _snapshot(device: str) -> dict[str, Any]:
    found: dict[str, Any] = torch.cuda.memory._snapshot(device)  # noqa: SLF001 - torch has no public one
    return found


def _settings(snapshot: dict[str, Any]) -> str:
    """PYTORCH_ALLOC_CONF in effect; where a snapshot does not hold it, what the process began with."""
    known = snapshot.get("allocator_settings", {})
    written = os.environ.get("PYTORCH_ALLOC_CONF", os.environ.get("PYTORCH_CUDA_ALLOC_CONF", ""))
    return str(known.get("PYTORCH_ALLOC_CONF", known.get("PYTORCH_CUDA_ALLOC_CONF", written)))


def _index(device: str) -> int:
    return torch.device(device).index or 0


@contextmanager
def _fractions_noted(device: str, settings: str) -> Iterator[list[tuple[int, float]]]:
    """Shares of the card that are set inside, with the number of events before each."""
    noted: list[tuple[int, float]] = []
    memory = torch.cuda.memory
    at_first = memory.get_per_process_memory_fraction(device)  # told from whole bytes, so that it is not quite exact
    if abs(at_first - AllocatorSettings.parse(settings).per_process_memory_fraction) > _INEXACT:
        noted.append((0, at_first))
    original = memory.set_per_process_memory_fraction

    def note(fraction: float, device: Any = None) -> None:
        original(fraction, device)
        index = torch.cuda.current_device() if device is None else _index(str(device))
        if index == of_interest:
            noted.append((len(_snapshot(f"cuda:{index}")["device_traces"][index]), fraction))

    of_interest = _index(device)
    places = (memory, torch.cuda)
    try:
        for place in places:
            place.set_per_process_memory_fraction = note  # type: ignore[assignment,attr-defined]
        yield noted
    finally:
        for place in places:
            place.set_per_process_memory_fraction = original  # type: ignore[attr-defined]


def keep(recording: Recording, case: Case, folder: Path) -> Path:
    """Write a recording into the folder, named by card and case.

    Args:
        recording: Of this case.
        case: Gives the name.
        folder: Made where it does not exist.
    """
    folder.mkdir(parents=True, exist_ok=True)
    card = re.sub(r"[^a-z0-9]+", "-", recording.card.lower().removeprefix("nvidia ")).strip("-") or "card"
    return recording.write(folder / f"{card}_{case.name}.json.gz")
