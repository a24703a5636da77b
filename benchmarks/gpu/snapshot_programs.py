"""Training steps of three kinds, as memory snapshots with call stacks: what the stacks tell is tested on them.

    python benchmarks/gpu/snapshot_programs.py                     all of them, into tests/recordings/snapshots
    python benchmarks/gpu/snapshot_programs.py --only lstm

Beside each snapshot stands which addresses are weights, gradients and optimizer state in truth, and the highest
allocated bytes that the card counted. The snapshot is taken after the second backward pass and step, before the gradients
are dropped. Needs a CUDA card, real or emulated (``EMU_CARD``); exit status 2 where there is none.
"""

from __future__ import annotations

import argparse
import gzip
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch
from torch import Tensor, nn

from benchmarks.gpu.traces import card_name
from benchmarks.measuring.machine import ROOT

FOLDER = ROOT / "tests" / "recordings" / "snapshots"


@dataclass
class Training:
    """A model, how it is trained, and one batch of its loss."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    loss: Callable[[], Tensor]
    scaler: torch.amp.GradScaler | None = None

    def step(self) -> None:
        """One optimizer step; gradients stay."""
        loss = self.loss()
        if self.scaler is None:
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
            self.optimizer.step()
        else:
            self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
            self.scaler.step(self.optimizer)
            self.scaler.update()


def transformer() -> Training:
    """Two layers, autocast, AdamW, gradients clipped; the first layer is run again in the backward pass."""
    layers = [nn.TransformerEncoderLayer(64, 4, 2200, batch_first=True) for _ in range(2)]
    model = nn.ModuleList([nn.Embedding(9000, 64), *layers, nn.Linear(64, 9000)]).cuda()
    tokens = torch.zeros(8, 96, dtype=torch.long, device="cuda")

    def loss() -> Tensor:
        with torch.autocast("cuda", torch.float16):
            embedded = model[0](tokens)
            hidden = model[2](torch.utils.checkpoint.checkpoint(model[1], embedded, use_reentrant=False))
            return nn.functional.cross_entropy(model[3](hidden).flatten(0, 1), tokens.flatten())

    return Training(model, torch.optim.AdamW(model.parameters()), loss)


def convnet() -> Training:
    """Convolutions with batch norm, autocast with a scaler, SGD with momentum; images of a size that is not round."""
    model = nn.Sequential(
        *(nn.Conv2d(3, 40, 3, padding=1), nn.BatchNorm2d(40), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(40, 64, 3), nn.BatchNorm2d(64), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
        nn.Linear(64, 10),
    ).cuda()
    images = torch.zeros(24, 3, 75, 75, device="cuda")
    labels = torch.zeros(24, dtype=torch.long, device="cuda")

    def loss() -> Tensor:
        with torch.autocast("cuda", torch.float16):
            return nn.functional.cross_entropy(model(images), labels)

    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    return Training(model, optimizer, loss, torch.amp.GradScaler("cuda"))


def lstm() -> Training:
    """An LSTM in fp32 with fused Adam."""
    model = nn.ModuleList([nn.Embedding(1000, 64), nn.LSTM(64, 128, 2, batch_first=True), nn.Linear(128, 1000)]).cuda()
    tokens = torch.zeros(32, 60, dtype=torch.long, device="cuda")

    def loss() -> Tensor:
        outputs, _ = model[1](model[0](tokens))
        return nn.functional.cross_entropy(model[2](outputs).flatten(0, 1), tokens.flatten())

    return Training(model, torch.optim.Adam(model.parameters(), fused=True), loss)


PROGRAMS: dict[str, Callable[[], Training]] = {"transformer": transformer, "convnet": convnet, "lstm": lstm}


def main(words: Sequence[str] | None = None) -> int:
    """Do what the command line says.

    Args:
        words: The command line; None is that of the process.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="part of the names")
    parser.add_argument("--out", default=str(FOLDER), help="folder of the snapshots")
    wanted = parser.parse_args(words)
    if not torch.cuda.is_available():
        print("snapshot_programs needs a CUDA card and PyTorch finds none here.")
        return 2
    for name, program in PROGRAMS.items():
        if wanted.only in name:
            keep(taken(program), Path(wanted.out) / f"{name}.json.gz")
    return 0


def taken(program: Callable[[], Training]) -> dict[str, Any]:
    """The snapshot of a program, and the truth about what it holds.

    Args:
        program: Builds the model.
    """
    memory = torch.cuda.memory
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    memory._record_memory_history("all", max_entries=100_000, clear_history=True)  # noqa: SLF001 - no public one
    training = program()
    training.step()
    training.optimizer.zero_grad()
    training.step()
    snapshot = memory._snapshot()  # noqa: SLF001
    truth = {
        "peak_allocated_bytes": torch.cuda.max_memory_allocated(),
        "parameter": _addresses((*training.model.parameters(), *training.model.buffers())),
        "gradient": _addresses(p.grad for p in training.model.parameters() if p.grad is not None),
        "optimizer_state": _addresses(
            value
            for state in training.optimizer.state.values()
            for value in state.values()
            if isinstance(value, Tensor) and value.is_cuda
        ),
    }
    memory._record_memory_history(None)  # noqa: SLF001
    return {"snapshot": {key: snapshot[key] for key in ("segments", "device_traces")}, "truth": truth}


def _addresses(tensors: Iterable[Tensor]) -> list[int]:
    return sorted({tensor.untyped_storage().data_ptr() for tensor in tensors})


def keep(found: dict[str, Any], path: Path) -> Path:
    """Write a snapshot as JSON, each frame and each stack once, without times and places of files on this machine.

    Args:
        found: As :func:`taken` returns it.
        path: Ends in ``.json.gz``.
    """
    frames: dict[tuple[str, str], int] = {}
    stacks: dict[tuple[int, ...], int] = {}

    def number(stack: Sequence[dict[str, Any]]) -> int:
        named = ((_shortened(frame["filename"]), frame["name"][:160]) for frame in stack)
        return stacks.setdefault(tuple(frames.setdefault(frame, len(frames)) for frame in named), len(stacks))

    def bare(entry: dict[str, Any], keys: Sequence[str]) -> dict[str, Any]:
        kept = {key: entry[key] for key in keys if key in entry}
        return {**kept, "frames": number(entry.get("frames", ()) if entry.get("action", "alloc") == "alloc" else ())}

    snapshot = found["snapshot"]
    of_block = ("address", "size", "requested_size", "state")
    of_segment = ("device", "address", "total_size", "stream", "segment_type", "segment_pool_id", "is_expandable")
    segments = [
        {**bare(segment, of_segment), "blocks": [bare(block, of_block) for block in segment["blocks"]]}
        for segment in snapshot["segments"]
    ]
    history = [bare(entry, ("action", "addr", "size", "stream")) for entry in snapshot["device_traces"][0]]
    written = {
        "card": card_name("cuda:0"),
        "torch_version": torch.__version__,
        "truth": found["truth"],
        "frames": list(frames),
        "stacks": list(stacks),
        "segments": segments,
        "history": history,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(json.dumps(written, separators=(",", ":")).encode(), mtime=0))
    print(f"{path.name}: {len(history)} events, {path.stat().st_size} bytes")
    return path


def _shortened(filename: str) -> str:
    """From ``torch/`` on, or the last name."""
    place = filename.replace("\\", "/").find("/torch/")
    return filename[place:] if place >= 0 else filename.rsplit("/", 1)[-1]


if __name__ == "__main__":
    raise SystemExit(main())
