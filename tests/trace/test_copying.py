"""A copy of a program shares nothing that can change, whatever names what."""

from __future__ import annotations

import functools
import itertools
import random
import threading
import types
import warnings
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from bigmodel_lab.errors import TraceError
from bigmodel_lab.trace._copying import (
    Copier,
    copies_in,
    copy_of_model,
    program_beside,
    stands_for,
    was_compiled,
)


def substitute(tensor: Tensor) -> Tensor:
    """Takes no memory, stays what it is."""
    made = torch.empty_like(tensor, device="meta", requires_grad=False)
    return nn.Parameter(made) if isinstance(tensor, nn.Parameter) else made


def copied(value: Any) -> Any:
    """A copy whose weights lie on the meta device."""
    return Copier(substitute).copy(value)


class Two(nn.Module):
    """A layer beside whatever a test hangs on it."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 2)

    def inner(self, x: Tensor) -> Tensor:
        """The layer."""
        out: Tensor = self.layer(x)
        return out

    def forward(self, x: Tensor) -> Tensor:
        """The layer, by a method."""
        return self.inner(x)


OUTER = nn.Linear(2, 2)


class NamesAGlobal(nn.Module):
    """Its forward pass runs a module that it does not hold."""

    def forward(self, x: Tensor) -> Tensor:
        """Another module."""
        out: Tensor = OUTER(x)
        return out


def patched(how: Callable[[nn.Module], Callable[..., Any]]) -> nn.Module:
    """A model whose forward is replaced on the instance."""
    model = Two()
    model.forward = how(model)  # type: ignore[method-assign]
    return model


def closure(model: nn.Module) -> Callable[..., Any]:
    """A wrapper."""
    usual = model.forward
    return lambda x: usual(x) * 1


def wrapped(model: nn.Module) -> Callable[..., Any]:
    """As functools.wraps makes it, with the original as an attribute."""
    usual = model.forward

    @functools.wraps(usual)
    def forward(*args: Any) -> Any:
        return usual(*args)

    return forward


def weak(model: nn.Module) -> Callable[..., Any]:
    """By a reference that does not hold it."""
    name = weakref.ref(model)
    return lambda x: name().layer(x)  # type: ignore[union-attr]


def weak_proxy(model: nn.Module) -> Callable[..., Any]:
    """By a proxy."""
    name = weakref.proxy(model)
    return lambda x: name.layer(x) * 1


def compiled(model: nn.Module) -> Callable[..., Any]:
    """By the compiler, which keeps the original."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        made: Callable[..., Any] = torch.compile(model.forward, backend="eager")
    return made


@pytest.mark.parametrize(
    "how",
    [
        closure,
        wrapped,
        compiled,
        lambda model: model.forward,
        lambda model: functools.partial(Two.forward, model),
        lambda model: types.MethodType(lambda self, x: self.layer(x), model),
        lambda model: lambda x, own=model: own.layer(x),
        lambda model: lambda x, *, own=model: own.layer(x),
        lambda model: {"run": model.inner}["run"],
        weak,
        weak_proxy,
    ],
)
def test_a_replaced_forward_runs_the_copy(how: Callable[[nn.Module], Callable[..., Any]]) -> None:
    """Whichever way it names the model."""
    copier = Copier(substitute)
    model = copier.copy(patched(how))

    assert model(torch.ones(1, 2, device="meta")).is_meta


def test_a_method_that_names_a_module_names_its_copy() -> None:
    """One that is global to the class, and the class stays what it is."""
    model = copied(NamesAGlobal())

    assert type(model) is NamesAGlobal
    assert model(torch.ones(1, 2, device="meta")).is_meta
    assert not OUTER.weight.is_meta


def test_hooks_that_name_the_model_name_the_copy() -> None:
    """What they write goes into the copy."""
    model = Two()
    model.seen = []  # type: ignore[assignment]
    model.layer.register_forward_hook(lambda *_: model.seen.append(1))  # type: ignore[operator, union-attr]
    made = copied(model)
    made(torch.ones(1, 2, device="meta"))

    assert (model.seen, made.seen) == ([], [1])


def test_a_function_that_counts_leaves_the_count() -> None:
    """Cells that are written to are the copy's own, and two functions share theirs."""
    count = 0

    def up() -> int:
        nonlocal count
        count += len(OUTER.weight)
        return count

    def now() -> int:
        return count

    make = copied([up, now])
    make[0]()

    assert (make[1](), count) == (2, 0)


def test_functions_that_hold_nothing_are_shared() -> None:
    """Of a library and of one's own."""

    def plain(x: Tensor) -> Tensor:
        return torch.relu(x)

    assert copied(plain) is plain
    assert copied(nn.functional.cross_entropy) is nn.functional.cross_entropy


def test_a_function_that_names_itself() -> None:
    """Recursion ends in the copy."""

    def down(n: int) -> Any:
        return down(n - 1) if n else OUTER.weight

    assert copied(down)(2).is_meta


@pytest.mark.parametrize(
    "thing",
    [
        threading.Lock(),
        threading.RLock(),
        threading.Condition(),
        threading.Event(),
        itertools.count(),
        torch.Generator(),
    ],
)
def test_what_deepcopy_refuses_or_shares_is_no_obstacle(thing: object) -> None:
    """A model that holds it is copied, and does not hold the same one."""
    model = Two()
    model.thing = thing  # type: ignore[assignment]

    assert copied(model).thing is not thing


def test_generators_of_random_numbers_go_on_from_where_they_are() -> None:
    """Theirs is the same next number; the original stays where it is."""
    model = Two()
    model.of_torch, model.of_python = torch.Generator().manual_seed(5), random.Random(5)  # type: ignore[assignment]
    before = model.of_torch.get_state(), model.of_python.getstate()  # type: ignore[operator, union-attr]
    made = copied(model)
    first = torch.rand(3, generator=made.of_torch), made.of_python.random()

    assert (model.of_torch.get_state() == before[0]).all()  # type: ignore[operator, union-attr]
    assert model.of_python.getstate() == before[1]  # type: ignore[operator, union-attr]
    assert torch.equal(first[0], torch.rand(3, generator=model.of_torch))  # type: ignore[arg-type]
    assert first[1] == model.of_python.random()  # type: ignore[operator, union-attr]


def test_a_running_generator_is_refused_when_it_is_asked() -> None:
    """It cannot be copied, and must not be moved on."""
    made = copied([(number for number in range(3))])

    with pytest.raises(TraceError, match="next value of a generator"):
        next(made[0])


def test_kept_activations_are_shared_and_not_copied() -> None:
    """A tensor that is no leaf, which deepcopy refuses."""
    model = Two()
    model.kept = model(torch.ones(1, 2))

    assert copied(model).kept is model.kept


def test_one_stays_one() -> None:
    """Tied weights, a weight in a list, a module of two names."""
    model = nn.Sequential(layer := nn.Linear(2, 2), layer, nn.Linear(2, 2))
    model[2].weight = layer.weight
    model.listed = [layer.weight, layer]  # type: ignore[assignment]
    made = copied(model)

    assert made[0] is made[1] is made.listed[1]
    assert made[2].weight is made[0].weight is made.listed[0]


@pytest.mark.parametrize(
    "norm",
    [
        torch.nn.utils.parametrizations.weight_norm,
        torch.nn.utils.parametrizations.spectral_norm,
        torch.nn.utils.spectral_norm,
    ],
)
def test_computed_weights_are_computed_by_the_copy(norm: Callable[[nn.Module], nn.Module]) -> None:
    """In the new way and in the old one."""
    assert copied(norm(nn.Linear(2, 2)))(torch.ones(1, 2, device="meta")).is_meta


def test_a_graph_of_fx_is_copied() -> None:
    """It says itself how."""
    assert copied(torch.fx.symbolic_trace(Two()))(torch.ones(1, 2, device="meta")).is_meta


def test_a_compiled_part_is_copied_as_it_was_before() -> None:
    """And this is known afterwards."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        model = nn.Sequential(torch.compile(nn.Linear(2, 2), backend="eager"))  # type: ignore[arg-type]
    made = copy_of_model(model, substitute)

    assert type(made[0]) is nn.Linear  # type: ignore[index]
    assert was_compiled(made)
    assert not was_compiled(model)


def test_a_copy_knows_what_stands_for_what() -> None:
    """So that a step that names the original means the copy."""
    model = Two()
    made = copy_of_model(model, substitute)
    step = Copier(substitute, before=copies_in(made)).copy(lambda: model.layer)

    assert step().weight.is_meta
    assert copies_in(made)[id(model.layer)] is made.layer


def test_objects_of_the_users_own_are_copied_with_their_methods() -> None:
    """A trainer that holds the teacher, a lock and a count."""

    class Trainer:
        def __init__(self) -> None:
            self.teacher, self.lock, self.steps = nn.Linear(2, 2), threading.Lock(), 0

        def step(self) -> Tensor:
            """One more."""
            self.steps += 1
            return self.teacher.weight

    trainer = Trainer()

    assert copied(trainer.step)().is_meta
    assert trainer.steps == 0


def test_a_program_beside_a_copied_model_names_that_copy() -> None:
    """Also inside a shell that stands for one of the user's; what belongs to neither is copied."""
    model, other = Two(), nn.Linear(2, 2)
    shell = nn.Sequential(model)
    made = nn.Sequential(copy_of_model(model, substitute))
    stands_for(made, shell)
    named = program_beside([model.layer, model, shell, other], made, substitute)

    assert named[:3] == [made[0].layer, made[0], made]
    assert named[3] is not other
    assert named[3].weight.is_meta
