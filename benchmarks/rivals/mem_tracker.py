"""MemTracker of PyTorch (``torch.distributed._tools``): two steps on fake tensors, as its own example makes one."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.distributed._tools.mem_tracker import MemTracker
from torch.utils._pytree import tree_leaves

from benchmarks.measured.catalogue import catalogue
from benchmarks.measured.program import Program
from benchmarks.rivals.answers import figures, none, serve
from benchmarks.rivals.models import built

_STEPS = 2
_FORMATS = {"bf16": torch.bfloat16, "fp16": torch.float16}


def answer(asked: dict[str, Any]) -> dict[str, Any]:
    """Its peak of all tensors; it says nothing of what the allocator holds."""
    program = catalogue()[asked["name"]]
    if program.weights == "nf4":
        return none("layers with weights in 4 bits run on a GPU only")
    if program.adapter_rank:
        return none("its hooks refuse parameters that do not learn")
    with FakeTensorMode():
        model, batch = built(program), program.batch("cpu")
        optimizer = _optimizer(program, model) if program.is_training else None
        tracker = MemTracker()
        outside = [model, *tree_leaves(batch), *([optimizer] if optimizer else [])]
        tracker.track_external(*outside)
        with tracker:
            for _ in range(_STEPS):
                _run(program, model, batch, optimizer)
                tracker.reset_mod_stats()  # as its own message asks of whoever makes more than one step
        peak = tracker.get_tracker_snapshot("peak")
    return figures(peak[torch.device("cpu")]["Total"])


def _run(program: Program, model: nn.Module, batch: Any, optimizer: torch.optim.Optimizer | None) -> None:
    if optimizer is None:
        with torch.inference_mode() if program.grad == "inference_mode" else torch.no_grad(), _autocast(program):
            program.step(model, batch)
        return
    for _ in range(program.micro_batches):
        with _autocast(program):
            loss = program.step(model, batch)
        loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    optimizer.zero_grad()


def _autocast(program: Program) -> AbstractContextManager[Any]:
    kind = _FORMATS.get(program.autocast)
    return torch.autocast("cpu", dtype=kind) if kind else nullcontext()


def _optimizer(program: Program, model: nn.Module) -> torch.optim.Optimizer:
    if callable(program.optimizer):
        made: torch.optim.Optimizer = program.optimizer(model)
        return made
    kinds = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW}
    return kinds[program.optimizer]([p for p in model.parameters() if p.requires_grad], lr=1e-3)


if __name__ == "__main__":
    serve(answer)
