"""A path through the library on a CUDA device, and what several of them need."""

# ruff: noqa: SLF001 (what is inside is what is checked)

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

import bigmodel_lab as lab
from bigmodel_lab.runlog import Status
from bigmodel_lab.training import Trainer

MIB = 2**20
SAMPLES, WIDTH, CLASSES = 512, 256, 10
EMULATED = "EMU_CARD"
"""Variable of the environment that is set where the card is emulated."""


@dataclass(frozen=True)
class Path:
    """One path."""

    name: str
    """What is done, e.g. ``"fit bf16"``."""
    check: Callable[[], str]
    """Does it; returns what was checked in a few words, and raises where something is not as it must be."""
    cards: int = 1
    """Cards that it needs; an emulated machine has so many then."""
    total_mib: int | None = None
    """Memory of an emulated card, so that it meets its end soon; a real one gets a cap of PyTorch's. None is all."""
    judged_by_a_card: str = ""
    """What an emulated card cannot say of it, as its kernels compute nothing; empty where that is all."""
    not_emulated: str = ""
    """Why it says nothing where the card is emulated; empty where it does."""
    seconds: float = 200.0
    """Longest time that it may take."""
    needs: tuple[str, ...] = ()
    """Packages besides torch."""


class Blocks(nn.Module):
    """Eight equal blocks, whose activations weigh more than their weights at a few hundred samples."""

    def __init__(self, width: int = WIDTH, blocks: int = 8, *, inner: int = 4) -> None:
        super().__init__()
        block = lambda: nn.Sequential(nn.Linear(width, inner * width), nn.GELU(), nn.Linear(inner * width, width))  # noqa: E731
        self.blocks = nn.ModuleList(block() for _ in range(blocks))
        self.head = nn.Linear(width, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """Scores of ten classes, shape (samples, 10)."""
        for block in self.blocks:
            x = x + block(x)
        scores: Tensor = self.head(x)
        return scores


class Images(nn.Module):
    """Convolutions with batch norms, for layouts and running statistics."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.Dropout(0.1))
        self.head = nn.Linear(32, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """Scores of ten classes, shape (samples, 10)."""
        scores: Tensor = self.head(self.features(x).mean((2, 3)))
        return scores


def rows(samples: int = SAMPLES) -> tuple[Tensor, Tensor]:
    """Samples for :class:`Blocks`, in main memory."""
    return torch.randn(samples, WIDTH, generator=_drawn()), torch.arange(samples) % CLASSES


def pictures(samples: int = 256) -> tuple[Tensor, Tensor]:
    """Samples for :class:`Images`, in main memory."""
    return torch.randn(samples, 3, 16, 16, generator=_drawn()), torch.arange(samples) % CLASSES


def _drawn() -> torch.Generator:
    return torch.Generator().manual_seed(0)  # the same samples each time


def fitted(model: nn.Module | None = None, data: Any = None, **settings: Any) -> Any:
    """A run of ``lab.fit`` on the first CUDA device, ended."""
    model = Blocks() if model is None else model
    defaults = {"epochs": 1, "micro_batch_size": 64, "device": "cuda:0", "runs_dir": folder()}
    run = lab.fit(model, rows() if data is None else data, **{**defaults, **settings})
    run.wait()
    same("status", run.status, Status.FINISHED)
    return run


def trainer_of(run: Any) -> Trainer:
    """What trains a run of ``fit``."""
    trainer: Trainer = run._trainer
    return trainer


def peak_of(make: Callable[[], object]) -> int:
    """Highest allocated bytes while it is made, above what was allocated before."""
    clean()
    before = torch.cuda.memory_allocated()
    make()
    torch.cuda.synchronize()
    return torch.cuda.max_memory_allocated() - before


def clean() -> None:
    """An empty cache without workspaces, and peaks from here."""
    import gc

    gc.collect()
    torch.cuda.synchronize()
    clear: Any = torch._C._cuda_clearCublasWorkspaces
    clear()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()


def capped(mib: int) -> None:
    """PyTorch may hold so much of the first card; an emulated one has no more."""
    total = torch.cuda.get_device_properties(0).total_memory
    if total > 2 * mib * MIB:
        torch.cuda.set_per_process_memory_fraction(mib * MIB / total, 0)


def emulated() -> bool:
    """The card's kernels compute nothing: found out by an addition, and by the environment of the emulation."""
    computes = bool((torch.ones(3, device="cuda") + 1).tolist() == [2.0] * 3)
    return not computes or EMULATED in os.environ


def folder() -> str:
    """An empty folder for run files."""
    return tempfile.mkdtemp(prefix="paths-")


def same(what: str, found: object, expected: object) -> None:
    """Raise unless they are equal.

    Raises:
        AssertionError: They differ; says how.
    """
    if found != expected:
        raise AssertionError(f"{what}: {found!r} is not {expected!r}")


def holds(what: str, truth: object) -> None:
    """Raise unless it is true.

    Raises:
        AssertionError: It is not.
    """
    if not truth:
        raise AssertionError(what)


def settings_of_process() -> dict[str, Any]:
    """What PyTorch keeps for the whole process and a run may change on its way."""
    return {
        "matmul": torch.get_float32_matmul_precision(),
        "cudnn": (torch.backends.cudnn.benchmark, torch.backends.cudnn.allow_tf32, torch.backends.cudnn.deterministic),
        "device": torch.cuda.current_device(),
        "autocast": torch.is_autocast_enabled("cuda"),
        "grad": torch.is_grad_enabled(),
        "fraction": torch.cuda.get_per_process_memory_fraction(0),
        "allocator": torch._C._accelerator_getAllocatorSettings(),
        "random": torch.cuda.get_rng_state(0).tolist(),
        "stream": torch.cuda.current_stream(0).cuda_stream,
    }


def state_of(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """Where and how everything of a training lies, without values: an emulated card has none."""
    held = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    hooks = [(name, len(m._forward_hooks), len(m._forward_pre_hooks)) for name, m in model.named_modules()]
    wrapped = sorted(name for name, module in model.named_modules() if "forward" in vars(module))
    kept = [{name: _how(value) for name, value in state.items()} for state in optimizer.state.values()]
    groups = [{name: value for name, value in group.items() if name != "params"} for group in optimizer.param_groups]
    return {
        "tensors": {name: (*_how(tensor), tensor.stride(), tensor.requires_grad) for name, tensor in held.items()},
        "identities": [id(tensor) for tensor in held.values()],
        "hooks": hooks,
        "wrapped": wrapped,
        "optimizer": kept,
        "groups": groups,
        "scales": getattr(optimizer, "_step_supports_amp_scaling", False),
        "training": [module.training for module in model.modules()],
    }


def _how(value: Any) -> tuple[Any, ...]:
    if isinstance(value, Tensor):
        return str(value.device), str(value.dtype), tuple(value.shape), value.is_pinned()
    return (value,)
