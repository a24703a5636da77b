"""Calls on stand-ins that differ are kept apart, and the cache of their shapes changes no trace."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from bigmodel_lab.trace._dispatch_key import add_to_key
from bigmodel_lab.trace._operations import RecordingMode
from tests.estimate.test_scaling import of_model

MODE = FakeTensorMode()  # type: ignore[no-untyped-call]


def made(make: Callable[[], Any]) -> Any:
    """By stand-ins."""
    with MODE:
        return make()


PLAIN = made(lambda: torch.empty(4, 6))
UNLIKE = {
    "another stand-in of this kind": made(lambda: torch.empty(4, 6)),
    "type": made(lambda: torch.empty(4, 6, dtype=torch.bfloat16)),
    "shape": made(lambda: torch.empty(6, 4)),
    "strides": made(lambda: torch.empty(6, 4).t()),
    "place in the storage": made(lambda: torch.empty(5, 6)[1:]),
    "length of the storage": made(lambda: torch.empty(5, 6)[:4]),
    "gradient": made(lambda: torch.empty(4, 6, requires_grad=True)),
    "device": made(lambda: torch.empty(4, 6, device="meta")),
    "conjugate": made(lambda: torch.empty(4, 6, dtype=torch.complex64).conj()),
    "no conjugate": made(lambda: torch.empty(4, 6, dtype=torch.complex64)),
    "host": torch.empty(4, 6),
}


def key(*values: Any) -> tuple[Any, ...]:
    """With what is left to torch."""
    found: list[Any] = []
    left = add_to_key(MODE, found, values)
    return (*found, *map(id, left))


@pytest.mark.parametrize("difference", list(UNLIKE)[1:])
def test_a_tensor_that_differs_in_one_thing_has_another_key(difference: str) -> None:
    """And no other difference gives the same."""
    keys = {name: key(tensor) for name, tensor in UNLIKE.items()}

    assert [name for name, one in keys.items() if one == keys[difference]] == [difference]


def test_a_tensor_of_the_same_kind_has_the_same_key() -> None:
    """Otherwise nothing would ever be found."""
    assert key(PLAIN) == key(UNLIKE["another stand-in of this kind"])


@pytest.mark.parametrize(
    ("one", "other"),
    [((1,), (True,)), ((1,), (1.0,)), (([1], 2), ([1, 2],)), ((None, 0), (0, None)), (([],), ((),))],
)
def test_numbers_of_other_types_and_other_places_have_other_keys(one: tuple[Any, ...], other: tuple[Any, ...]) -> None:
    """Python holds 1, 1.0 and True for equal."""
    assert key(*one) != key(*other)


def test_what_is_left_to_torch_keeps_its_place() -> None:
    """(host, stand-in) is another call than (stand-in, host)."""
    host = UNLIKE["host"]

    assert key(host, PLAIN) != key(PLAIN, host)


@pytest.mark.parametrize("name", ["simple_cnn", "bilstm_text", "transformer"])
def test_a_trace_is_the_same_with_torchs_own_key(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every request, its bytes, shape and order; at a size whose shapes nobody asked for before."""
    one = replace(of_model(name), micro_batch_size=7)
    ours = (one.trace(), one.trace())
    monkeypatch.delattr(RecordingMode, "_prep_args_for_hash")

    assert ours == (one.trace(), one.trace())
