"""The allocator's own events of a case, kept as a recording for the tests of the simulated one."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import torch

from benchmarks.gpu.cases import Case
from bigmodel_lab.memory.recording import Recording, from_device_trace

Result = TypeVar("Result")
_MOST_EVENTS = 1_000_000


def recorded(run: Callable[[], Result], workload: str, device: str = "cuda:0") -> tuple[Result, Recording]:
    """What a function returns, and everything that the allocator did meanwhile.

    Args:
        run: Begins with an empty allocator.
        workload: What it is, in words.
        device: A CUDA device.

    Raises:
        DataError: The allocator was not empty, or memory of CUDA graphs was in use.
    """
    history = torch.cuda.memory._record_memory_history  # noqa: SLF001 - torch has no public one
    history("all", context=None, stacks="python", max_entries=_MOST_EVENTS, clear_history=True)
    try:
        result = run()
        index = torch.device(device).index or 0
        events = torch.cuda.memory._snapshot(device)["device_traces"][index]  # noqa: SLF001
        stats = torch.cuda.memory_stats(device)
    finally:
        history(None)
    recording = from_device_trace(
        events,
        settings=os.environ.get("PYTORCH_ALLOC_CONF", os.environ.get("PYTORCH_CUDA_ALLOC_CONF", "")),
        card=torch.cuda.get_device_name(device),
        total_bytes=torch.cuda.get_device_properties(device).total_memory,
        torch_version=torch.__version__,
        workload=workload,
        stats={name: value for name, value in stats.items() if not name.startswith("num_device_")},
    )
    return result, recording


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
