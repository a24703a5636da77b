"""The list of requests, as it grows."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from bigmodel_lab.trace._recorder import Recorder


@pytest.fixture
def recorder() -> Recorder:
    """Empty."""
    return Recorder()


def tensor(size: int = 4, device: str = "cpu") -> Tensor:
    """A stand-in of this many bytes."""
    with FakeTensorMode():
        return torch.empty(size, dtype=torch.uint8, device=device)


def test_birth_and_death(recorder: Recorder) -> None:
    """A tensor lives as long as its last name."""
    x = tensor()
    recorder.born(x, "maker", "module", "input")
    del x
    trace = recorder.end()

    assert trace.sequence == (0, ~0)
    assert (trace.allocations[0].bytes, trace.allocations[0].maker, trace.allocations[0].module) == (
        4,
        "maker",
        "module",
    )


def test_a_known_storage_is_not_born_again(recorder: Recorder) -> None:
    """Through whatever view it comes."""
    x = tensor()
    for view in (x, x[1:], x.view(2, 2)):
        recorder.born(view, "maker", "")

    assert recorder.end().sequence == (0,)


def test_tensors_of_the_host_are_not_recorded(recorder: Recorder) -> None:
    """They stand on the meta device."""
    x = tensor(device="meta")
    recorder.born(x, "maker", "")

    assert recorder.end().sequence == ()


def test_nothing_is_written_down_after_the_end(recorder: Recorder) -> None:
    """What the caller still holds dies unseen."""
    x = tensor()
    recorder.born(x, "maker", "")
    trace = recorder.end()
    del x

    assert trace.sequence == (0,)


def test_what_is_borrowed_is_there_until_given_back(recorder: Recorder) -> None:
    """Two pieces at once, freed one after the other."""
    first, second = recorder.borrowed(8, "a", "module"), recorder.borrowed(16, "b", "module")
    recorder.given_back(first)
    recorder.given_back(second)
    trace = recorder.end()

    assert trace.sequence == (0, 1, ~0, ~1)
    assert [(a.bytes, a.maker, a.dtype, a.module) for a in trace.allocations] == [
        (8, "a", "", "module"),
        (16, "b", "", "module"),
    ]


def test_what_is_kept_is_asked_for_once(recorder: Recorder) -> None:
    """By its name; 0 bytes are nothing."""
    recorder.kept(8, "workspace", "forward")
    recorder.kept(8, "workspace", "forward")
    recorder.kept(8, "workspace", "backward")
    recorder.kept(0, "workspace", "other")

    assert recorder.end().sequence == (0, 1)


def test_a_sentence_is_noted_once(recorder: Recorder) -> None:
    """However often it happens, and in the order of the first times."""
    for sentence in ("b", "a", "b"):
        recorder.note(sentence)

    assert recorder.end().notes == ("b", "a")


def test_a_purpose_can_turn_out_later(recorder: Recorder) -> None:
    """With the module of the parameter that it belongs to; what is not followed is ignored."""
    weight, gradient = tensor(), tensor()
    recorder.born(weight, "load", "layer", "parameter")
    recorder.born(gradient, "aten.mm", "elsewhere")
    recorder.becomes([gradient, tensor()], "gradient", of=weight)
    found = recorder.end().allocations[1]

    assert (found.category, found.module) == ("gradient", "layer")


def test_survivors_change_their_purpose(recorder: Recorder) -> None:
    """What died before keeps its own."""
    dead, alive = tensor(), tensor()
    recorder.born(dead, "a", "")
    recorder.born(alive, "b", "")
    del dead
    recorder.survivors_become("temporary", "activation")

    assert [a.category for a in recorder.end().allocations] == ["temporary", "activation"]


def test_frees_in_a_row_come_oldest_first_but_stay_in_their_phase(recorder: Recorder) -> None:
    """So that two traces of one program are equal."""
    tensors = [tensor() for _ in range(4)]
    for x in tensors:
        recorder.born(x, "maker", "")
    del x
    tensors.pop(2)
    tensors.pop(0)
    recorder.mark("next", 0)
    tensors.pop()
    tensors.pop()
    trace = recorder.end()

    assert trace.sequence == (0, 1, 2, 3, ~0, ~2, ~1, ~3)
    assert trace.marks[0].position == 6


def test_the_maker_of_a_tensor(recorder: Recorder) -> None:
    """Empty where it is not followed."""
    x = tensor()
    recorder.born(x, "aten.isnan", "")

    assert (recorder.maker_of(x), recorder.maker_of(tensor())) == ("aten.isnan", "")
