"""The card on which sizes are tried: its limit, and what an estimate says of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from bigmodel_lab.api._trial_place import TrialPlace, finding
from bigmodel_lab.api._virtual_gpu import Place, place_for
from bigmodel_lab.errors import ConfigError, TraceError
from bigmodel_lab.estimate import MemoryEstimate, estimate_memory
from bigmodel_lab.memory.cards import Card
from bigmodel_lab.tips._found_batch_size import FoundBatchSize
from bigmodel_lab.training import DeviceChoice

GIB = 2**30


class Blocks:
    """A loop whose step makes one tensor of a MiB a sample."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def step_of(self, size: int) -> Callable[[], object]:
        """On the card that is in use."""
        self.sizes.append(size)

        def step() -> None:
            torch.empty(size, 2**18)

        return step

    def has_stepped(self) -> bool:
        """Nothing could have skipped it."""
        return True

    def let_go(self) -> None:
        """Nothing is held."""


def no_estimate(card: Card) -> MemoryEstimate:
    """A step that cannot be followed."""
    raise TraceError("it depends on the data\nand more")


def of_mlp(card: Card) -> MemoryEstimate:
    """The estimate of another program, which is small."""
    return estimate_memory("mlp", gpu=card)


def search(
    loop: Blocks, where: TrialPlace, estimate: Callable[[Card], MemoryEstimate] = no_estimate, **given: Any
) -> FoundBatchSize:
    """On a card in use."""
    arguments: dict[str, Any] = {"at_most": 10**5, "typical": 64, "rest_bytes": 0, **given}
    with where.place.in_use():
        return finding(loop, where, name="blocks", estimate=estimate, start_over=lambda: None, **arguments)


def small(capacity: int = GIB) -> TrialPlace:
    """A simulated card."""
    return TrialPlace.of(place_for("virtual:4GiB"), capacity)


def test_all_that_is_free_may_be_taken() -> None:
    """Beside the CUDA context."""
    where = TrialPlace.of(place_for("virtual:4GiB"), None)

    assert where.capacity_bytes == where.card.usable_bytes() < where.total_bytes == 4 * GIB


@pytest.mark.parametrize(
    ("asked", "share", "capacity"), [(GIB, None, GIB), (None, 0.5, 2 * GIB), (GIB, 0.5, GIB), (3 * GIB, 0.5, 2 * GIB)]
)
def test_the_smaller_limit_counts(asked: int | None, share: float | None, capacity: int) -> None:
    """In bytes, or as a share of the card."""
    assert TrialPlace.of(place_for("virtual:4GiB"), asked, share).capacity_bytes == capacity


def test_a_cap_that_the_person_has_set_counts() -> None:
    """As a share of the card."""
    place = place_for("virtual:4GiB")
    assert place.gpu is not None
    place.gpu.set_memory_fraction(0.5)

    assert TrialPlace.of(place, 3 * GIB).capacity_bytes == 2 * GIB


@pytest.mark.parametrize(("cap", "share", "capacity"), [(1.0, None, 10), (0.5, 0.5, 8)])
def test_a_cap_on_a_cuda_card_is_asked_of_torch(
    monkeypatch: pytest.MonkeyPatch, cap: float, share: float | None, capacity: int
) -> None:
    """And is the person's again afterwards; of 16 GiB 10 are free."""
    answers = {
        "get_per_process_memory_fraction": cap,
        "get_device_name": "Tesla T4",
        "mem_get_info": (10 * GIB, 16 * GIB),
        "memory_reserved": 0,
    }
    for name, answer in answers.items():
        monkeypatch.setattr(torch.cuda, name, lambda *_, answer=answer: answer, raising=False)
    where = TrialPlace.of(Place(DeviceChoice("cuda:0", "a test", capability=(7, 5))), None)

    assert (where.share, where.capacity_bytes, where.simulated) == (share, capacity * GIB, False)


def test_what_else_this_process_holds_is_the_rest() -> None:
    """Neither the model nor the state of its optimizer."""
    where, model = small(), nn.Linear(1024, 1024)
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.ones(1, 1024)).sum().backward()
    optimizer.step()
    optimizer.zero_grad()
    assert where.place.gpu is not None
    where.place.gpu.adopt(model, optimizer)
    before = where.rest_bytes(model, optimizer)
    with where.place.in_use():
        data = torch.zeros(2**20)
        data[:4].reshape(2, 2) @ data[:4].reshape(2, 2)  # takes a workspace, which the trials give back
        rest = where.rest_bytes(model, optimizer)

    assert before == 0
    assert rest == data.nbytes


def test_a_simulated_card_is_simulated() -> None:
    """Its place says so."""
    assert small().simulated


def test_where_there_is_no_card_there_is_no_limit() -> None:
    """The error says what to do."""
    with pytest.raises(ConfigError, match=r"cpu has no memory limit that could be found. Simulate a card"):
        TrialPlace.of(Place(DeviceChoice("cpu", "a test", capability=(8, 0))), None)


def test_without_an_estimate_two_sizes_are_probed() -> None:
    """And the answer fills the memory, without an error."""
    loop = Blocks()
    found = search(loop, small())

    assert [attempt.kind for attempt in found.attempts[:2]] == ["probe", "probe"]
    assert found.found.out_of_memory == 0
    assert 0.95 * 1024 <= found.largest <= 1024


def test_the_first_line_of_what_was_wrong_is_noted() -> None:
    """Why there was no estimate."""
    assert search(Blocks(), small()).notes == (
        "No estimate was possible (TraceError: it depends on the data), so two small sizes were probed.",
    )


@pytest.mark.parametrize(("typical", "first"), [(1, 4), (64, 8), (10_000, 16)])
def test_the_first_probe_is_an_eighth_of_the_usual_size(typical: int, first: int) -> None:
    """From 4 to 16 samples."""
    loop = Blocks()
    search(loop, small(), typical=typical)

    assert loop.sizes[0] == first


def test_with_an_estimate_nothing_is_probed() -> None:
    """Its size is the first trial."""
    found = search(Blocks(), small(), of_mlp, at_most=100)

    assert [(attempt.kind, attempt.size) for attempt in found.attempts] == [("trial", 100)]
    assert found.notes == ()


def test_an_error_that_nobody_expects_is_raised() -> None:
    """An estimate may fail for the reasons that are known, and no others."""

    def broken(card: Card) -> MemoryEstimate:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        search(Blocks(), small(), broken)


def test_without_room_nothing_is_estimated_or_tried() -> None:
    """Others hold the card."""
    loop = Blocks()
    where = small()
    found = search(loop, TrialPlace(where.place, where.memory, where.card, where.total_bytes, 0))

    assert (loop.sizes, found.attempts, found.notes) == ([], (), ())


def test_the_cap_is_gone_afterwards() -> None:
    """As if nothing had been."""
    where = small()
    search(Blocks(), where)

    assert where.memory.capacity_bytes() == where.card.usable_bytes()


def test_a_cap_from_before_is_there_again() -> None:
    """The person's own."""
    place = place_for("virtual:4GiB")
    assert place.gpu is not None
    place.gpu.set_memory_fraction(0.5)
    where = TrialPlace.of(place, GIB)
    search(Blocks(), where)

    assert (where.share, where.memory.capacity_bytes()) == (0.5, 2 * GIB)


def test_nothing_lies_on_the_card_afterwards() -> None:
    """Neither allocated nor cached."""
    where = small()
    search(Blocks(), where)
    held = where.memory.in_use()

    assert held is not None
    assert (held.allocated_bytes, held.reserved_bytes) == (0, 0)
