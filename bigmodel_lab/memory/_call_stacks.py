"""What a recorded call stack tells about the memory that was asked for in it.

PyTorch records where each request came from, not what it was for. The stack tells most of it: a request below
``torch/optim`` belongs to the optimizer, one below autograd's engine to the backward pass. Autograd works in threads of
its own without a Python stack, so the backward pass is known only where frames of C++ were recorded too, as
``_record_memory_history`` does unless it is asked for ``stacks="python"``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Literal, NamedTuple, TypeAlias, cast

from bigmodel_lab.memory.categories import UNKNOWN
from bigmodel_lab.memory.requests import Category

Frame: TypeAlias = Mapping[str, Any]
"""``filename``, ``line`` and ``name``, as in ``torch.cuda.memory._snapshot()``."""
Part: TypeAlias = Literal["state", "optimizer", "backward", "loading", "forward", "batch", "passing", "workspace"]
"""Of a program: the optimizer's state, its step, the backward pass, building and loading a model, a module's forward
pass, the data loader, what PyTorch needs for a moment wherever it runs, and workspaces of libraries."""
_TORCH = "/torch/"
_LOADING = frozenset(
    {"_apply", "to", "cuda", "_load_from_state_dict", "to_empty", "reset_parameters", "flatten_parameters", "__init__"}
)
_NO_OPTIMIZER = ("/torch/optim/lr_scheduler.py", "/torch/optim/swa_utils.py")
_ENGINE = "torch::autograd::Engine::"
_WORKSPACE = "workspace"
_WORKSPACES = (  # aten/src/ATen/cuda/CublasHandlePool.cpp
    "at::cuda::getCurrentCUDABlasHandle",
    "at::cuda::getNewWorkspace",
    "at::cuda::getCUDABlasLtWorkspace",
)
_ASIDE = {  # tells only where no other frame does: a backward pass may call it too
    "/torch/nn/functional.py": "a function",
    "/torch/nn/utils/clip_grad.py": "of the moment",
    "/torch/amp/grad_scaler.py": "of the moment",
    "/torch/utils/data/": "data",
}
_NODE = re.compile(r"torch::autograd::(?:generated::)?(\w+?)(?:_apply_functional\w*)?(?:::apply)?\(")
_OPERATOR = re.compile(r"at::_ops::(\w+)::(?:call|redispatch)\(")
# A trace that was made by hand knows its categories; only a recorded one may not.
_NOT_TOLD = cast("Category", UNKNOWN)


class Told(NamedTuple):
    """What a call stack tells."""

    part: Part | None
    """Of the program that asked; None where the stack does not tell."""
    phase: str | None
    """``"backward"`` and ``"optimizer"`` are passes that end, ``""`` is everything else; None without a stack."""

    def category(self, *, outlives: bool | None) -> Category:
        """What the memory was for; ``"unknown"`` where that is not told.

        Args:
            outlives: It was still there when the pass that made it had ended; None where the pass never ended.
        """
        if self.part in _ALWAYS:
            return _ALWAYS[self.part]
        if self.part is None or outlives is None:
            return _NOT_TOLD
        return _KEPT.get(self.part, _NOT_TOLD) if outlives else "temporary"


_PARTS: Mapping[str, Part] = {
    "state": "state",
    "optimizer": "optimizer",
    "backward": "backward",
    "loading": "loading",
    "forward": "forward",
    _WORKSPACE: "workspace",
    "a function": "forward",
    "of the moment": "passing",
    "data": "batch",
}
_ALWAYS: Mapping[str | None, Category] = {
    "state": "optimizer_state",
    "loading": "parameter",
    "forward": "activation",
    "batch": "input",
    "workspace": "temporary",
}
_KEPT: Mapping[str, Category] = {"optimizer": "optimizer_state", "backward": "gradient"}


NOTHING = Told(None, None)
"""There is no stack."""


def told_by(frames: Sequence[Frame]) -> Told:
    """What a stack tells.

    Of nested parts the innermost counts: a module that is run again in the backward pass makes activations, a backward
    pass within a module's call makes gradients.

    Args:
        frames: Innermost first, as PyTorch records them.

    >>> told_by([{"filename": "/a/torch/optim/adamw.py", "line": 1, "name": "step"}])
    Told(part='optimizer', phase='optimizer')
    >>> told_by([])
    Told(part=None, phase=None)
    """
    if not frames:
        return NOTHING
    found = [part for frame in frames if (part := _told_by_one(str(frame["filename"]), str(frame["name"])))]
    if _file(frames[-1]).endswith("/torch/autograd/function.py"):  # a backward: nothing but the engine calls one
        found.append("backward")
    nested = [part for part in found if part not in _ASIDE.values()]
    part = _WORKSPACE if _WORKSPACE in found else next(iter((*nested, *found)), None)
    phase = "backward" if "backward" in found else "optimizer" if {"optimizer", "state"} & {*found} else ""
    return Told(None if part is None else _PARTS[part], phase)


def maker_of(frames: Sequence[Frame]) -> str:
    """Who asked: the innermost function that is not PyTorch's own, with its place; empty without a stack.

    Where all are PyTorch's own it is the node of the backward pass, else the operator, else the innermost frame.

    Args:
        frames: Innermost first, as PyTorch records them.

    >>> maker_of([{"filename": "/a/torch/nn/functional.py", "line": 9, "name": "linear"},
    ...           {"filename": "/home/me/model.py", "line": 41, "name": "forward"}])
    'forward (model.py:41)'
    >>> maker_of([{"filename": "??", "line": 0, "name": "torch::autograd::generated::MmBackward0::apply(…)"}])
    'MmBackward0'
    """
    own = [frame for frame in frames if _TORCH not in _file(frame) and _file(frame).endswith(".py")]
    if own:
        return _placed(own[0])
    names = [str(frame["name"]) for frame in frames]
    nodes = [found[1] for name in names if (found := _NODE.match(name)) and "Backward" in found[1]]
    operators = [f"aten.{found[1]}" for name in names if (found := _OPERATOR.match(name))]
    return next(iter((*nodes, *operators[-1:], *map(_placed, frames[:1]))), "")


@lru_cache(maxsize=65_536)
def _told_by_one(filename: str, name: str) -> str | None:
    """What one frame tells; None where that is nothing."""
    file = filename.replace("\\", "/")
    if not file.endswith(".py"):
        return _WORKSPACE if name.startswith(_WORKSPACES) else "backward" if name.startswith(_ENGINE) else None
    if _TORCH not in file:
        return None
    if "/torch/optim/" in file and not file.endswith(_NO_OPTIMIZER):
        return "state" if name == "_init_group" else "optimizer"
    if name in ("backward", "_engine_run_backward"):
        return "backward"
    if "/torch/nn/modules/" in file:
        return "loading" if name in _LOADING else "forward" if name == "_call_impl" else None
    return next((mark for place, mark in _ASIDE.items() if place in file), None)


def _file(frame: Frame) -> str:
    return str(frame["filename"]).replace("\\", "/")


def _placed(frame: Frame) -> str:
    return f"{frame['name']} ({_file(frame).rsplit('/', 1)[-1]}:{frame['line']})"
