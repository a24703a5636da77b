"""Programs say ``cuda`` where they mean the card; here the stand-ins of the card look like CPU tensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, unset_fake_temporarily

from bigmodel_lab.i18n import Text
from bigmodel_lab.trace._corrected import CorrectedMethod, Method
from bigmodel_lab.trace.cuda_rules.base import Replacement, Rule, Target

_FACTORIES = [
    "arange",
    "empty",
    "eye",
    "full",
    "linspace",
    "ones",
    "rand",
    "randint",
    "randn",
    "randperm",
    "tensor",
    "zeros",
    "as_tensor",
]
_LIKE = ["empty_like", "full_like", "ones_like", "rand_like", "randn_like", "zeros_like"]
_NUMBERS = ["empty", "full", "ones", "zeros"]
_NEW = ["new_empty", "new_full", "new_ones", "new_tensor", "new_zeros"]


def _functions() -> Mapping[Callable[..., Any], Replacement]:
    makers = [getattr(torch, name) for name in [*_FACTORIES, *_LIKE]] + [getattr(Tensor, name) for name in _NEW]
    return {
        **dict.fromkeys(makers, _here),
        **{getattr(torch, name): _number_or_here for name in _NUMBERS},
        Tensor.to: _to,
        Tensor.cuda: _stay,
        Tensor.is_cuda.__get__: _yes,  # type: ignore[attr-defined]
        Tensor.__format__: _format,
        Tensor.numpy: _numbers,
        Tensor.__array__: _numbers,
    }


def _format(_target: Target, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """``f"{loss:.3f}"`` reads the number."""
    tensor, how = args
    if isinstance(tensor, FakeTensor) and not tensor.dim():
        return format(tensor.item(), how)
    return function(*args, **kwargs)


def _numbers(_target: Target, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """``loss.cpu().numpy()`` reads all numbers; what stands for one of them stands for each."""
    tensor, *rest = args
    if not isinstance(tensor, FakeTensor) or tensor.requires_grad:
        return function(*args, **kwargs)
    one = torch.ops.aten._local_scalar_dense.default(tensor)  # noqa: SLF001 (reads it as item() does, of any shape)
    with unset_fake_temporarily():
        return function(torch.full(tensor.shape, one, dtype=tensor.dtype), *rest, **kwargs)


def _here(_target: Target, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The same, on the stand-in's device."""
    args = tuple(_place(value) for value in args)
    return function(*args, **{name: _place(value) for name, value in kwargs.items()})


def _number_or_here(target: Target, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """A single number that is put nowhere is on the host, and stays there: so optimizers count their steps."""
    is_number = bool(args) and isinstance(args[0], tuple | list) and not args[0]
    if is_number and "device" not in kwargs:
        with unset_fake_temporarily():
            return function(*args, **kwargs)
    return _here(target, function, args, kwargs)


def _place(value: Any) -> Any:
    if isinstance(value, str) and value.split(":")[0] == "cuda":
        return "cpu"
    return torch.device("cpu") if isinstance(value, torch.device) and value.type == "cuda" else value


def _to(target: Target, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """A number is a card's. A tensor of the host that is moved gets a stand-in."""
    tensor, *rest = args
    if rest and isinstance(rest[0], int) and not isinstance(rest[0], bool):
        rest[0] = "cuda"
    moves = "device" in kwargs or (rest and isinstance(rest[0], str | torch.device | Tensor))
    return _here(target, function, (_arrived(tensor) if moves else tensor, *rest), kwargs)


def _arrived(tensor: Tensor) -> Tensor:
    """On the card, where real tensors are those of the host."""
    if isinstance(tensor, FakeTensor):
        return tensor
    return torch.empty_strided(tensor.size(), tensor.stride(), dtype=tensor.dtype)


def _apply(usual: Method, module: nn.Module, function: Callable[[Tensor], Tensor], recurse: bool = True) -> nn.Module:
    """``model.cuda()`` moves weights that are there already; torch would try to put each in the place of itself."""
    own = [*module.parameters(recurse), *module.buffers(recurse)]
    if all(function(tensor) is tensor for tensor in own):
        return module
    moved: nn.Module = usual(module, function, recurse)
    return moved


_CORRECTED = CorrectedMethod(nn.Module, "_apply", _apply)


def _around() -> AbstractContextManager[None]:
    return _CORRECTED.in_this_thread()


def _stay(_target: Target, _function: Callable[..., Any], args: tuple[Any, ...], _kwargs: dict[str, Any]) -> Any:
    return _arrived(args[0])


def _yes(_target: Target, _function: Callable[..., Any], _args: tuple[Any, ...], _kwargs: dict[str, Any]) -> bool:
    return True


RULE = Rule(
    name="on_the_card",
    meaning=Text("rule.on_the_card", "What the program puts on the card is counted as on the card."),
    source="by the definition of this trace: every stand-in is a tensor of the card",
    functions=_functions,
    around=_around,
)
