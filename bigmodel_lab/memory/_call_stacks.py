"""What a recorded call stack tells about the memory that was asked for in it.

PyTorch records where each request came from, not what it was for. The stack tells some of it: a request below
``torch/optim`` belongs to the optimizer. Autograd works in threads of its own without a Python stack; what it makes is unknown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias, cast

from bigmodel_lab.memory.categories import UNKNOWN
from bigmodel_lab.memory.requests import Category

Frame: TypeAlias = Mapping[str, Any]
"""``filename``, ``line`` and ``name``, as in ``torch.cuda.memory._snapshot()``."""
_TORCH = "/torch/"
_LOADING = frozenset({"_apply", "to", "cuda", "_load_from_state_dict", "to_empty", "reset_parameters"})
# A trace that was made by hand knows its categories; only a recorded one may not.
_NOT_TOLD = cast("Category", UNKNOWN)


def maker_of(frames: Sequence[Frame]) -> str:
    """The innermost function that is not PyTorch's own, with its place; empty without a stack.

    Args:
        frames: Innermost first, as PyTorch records them.

    >>> maker_of([{"filename": "/a/torch/nn/functional.py", "line": 9, "name": "linear"},
    ...           {"filename": "/home/me/model.py", "line": 41, "name": "forward"}])
    'forward (model.py:41)'
    """
    own = [frame for frame in frames if _TORCH not in _file(frame) and _file(frame).endswith(".py")]
    chosen = (own or list(frames))[:1]
    return "".join(f"{frame['name']} ({_file(frame).rsplit('/', 1)[-1]}:{frame['line']})" for frame in chosen)


def category_of(frames: Sequence[Frame], *, stays: bool) -> Category:
    """What the memory was probably for; ``"unknown"`` where the stack does not tell.

    Args:
        frames: Innermost first.
        stays: It was not given back while the recording ran.

    >>> category_of([{"filename": "/a/torch/optim/adamw.py", "line": 1, "name": "step"}], stays=True)
    'optimizer_state'
    >>> category_of([], stays=True)
    'unknown'
    """
    if any("/torch/optim/" in _file(frame) for frame in frames):
        return "optimizer_state" if stays else "temporary"
    if any(frame["name"] == "backward" and "/torch/" in _file(frame) for frame in frames):
        return "gradient" if stays else "temporary"
    in_modules = {str(frame["name"]) for frame in frames if "/torch/nn/modules/" in _file(frame)}
    if in_modules & _LOADING:
        return "parameter"
    return "activation" if "_call_impl" in in_modules else _NOT_TOLD


def _file(frame: Frame) -> str:
    return str(frame["filename"]).replace("\\", "/")
