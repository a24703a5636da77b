"""Which device is chosen, for every kind of machine, without a GPU."""

from __future__ import annotations

import warnings

import pytest
import torch

from bigmodel_lab.errors import ConfigError
from bigmodel_lab.samplers import Card, CardProcess, CardTable, VisibleDevices
from bigmodel_lab.training import device
from bigmodel_lab.training.device import choose_device, pick, without_own

GIB = 2**30
OWN = 1000


def card(index: int, free_gib: float | None, *pids: int) -> Card:
    """A card with this much free memory and these processes."""
    free = None if free_gib is None else round(free_gib * GIB)
    processes = tuple(CardProcess(pid, GIB, user="ann") for pid in pids)
    return Card(index, f"GPU-{index}", f"Card {index}", device_free_bytes=free, processes=processes)


def order(*indices: int) -> list[str]:
    """UUIDs of the visible cards in PyTorch's order."""
    return [f"GPU-{i}" for i in indices]


@pytest.mark.parametrize(
    ("cards", "visible", "index"),
    [
        ([card(0, 10), card(1, 20)], order(0, 1), 1),
        ([card(0, 10), card(1, 20)], order(1, 0), 0),
        ([card(0, 10), card(1, 20)], order(0), 0),
        ([card(0, 10), card(1, 20, 5)], order(0, 1), 0),
        ([card(0, 10), card(1, 20, OWN)], order(0, 1), 1),
        ([card(0, 10), card(1, 10)], order(0, 1), 0),
        ([card(0, None), card(1, 1)], order(0, 1), 1),
        ([card(0, None)], order(0), 0),
        ([card(0, 5)], ["MIG-1"], 0),
        ([], [], None),
        ([card(0, 10)], [], None),
    ],
)
def test_the_free_card_with_most_memory_is_picked(cards, visible, index):
    """Among those that are visible and not used by others; the number is PyTorch's."""
    assert pick(cards, visible, OWN).index == index


def test_sharing_takes_the_card_with_most_memory():
    """When others compute on all of them."""
    assert pick([card(0, 10, 5), card(1, 20, 6)], order(0, 1), OWN).index == 1


def test_sharing_still_prefers_a_free_card():
    """Less memory, but nobody else on it."""
    assert pick([card(0, 10), card(1, 20, 6)], order(0, 1), OWN).index == 0


def test_the_reason_names_the_card_and_the_others():
    """Card, free memory, and why the others were not taken."""
    reason = pick([card(0, 10), card(1, 20), card(2, 30, 5, 6)], order(0, 1, 2), OWN).reason
    assert reason == (
        "cuda:1 (Card 1): 20 GiB free, nobody else computes on it. "
        "Not cuda:0 (Card 0): 10 GiB free. "
        "Not cuda:2 (Card 2): process 5 (ann) and 1 more computes on it."
    )


def test_the_reason_of_a_shared_card_names_the_other():
    """Who is on it."""
    assert "shared with process 5 (ann)" in pick([card(0, 10, 5)], order(0), OWN).reason


def test_an_unknown_process_list_is_said():
    """It is not claimed that nobody computes there."""
    unknown = Card(0, "GPU-0", "Card 0", device_free_bytes=GIB, processes=None)
    assert "does not tell who" in pick([unknown], order(0), OWN).reason


def test_processes_from_outside_of_the_container_may_be_our_own():
    """Once this process uses CUDA, a stranger that cannot be seen may be itself."""
    stranger = Card(0, "GPU-0", "Card 0", processes=(CardProcess(77, GIB), CardProcess(5, GIB, user="ann")))
    assert [p.pid for p in without_own(CardTable((stranger,))).cards[0].processes] == [5]


@pytest.fixture
def machine(monkeypatch):
    """Makes this machine look like another one."""

    def make(cards=(), visible=None, *, cuda=True, mps=False, build="13.0", in_use=False, doubt=""):
        seen = order(*range(len(cards))) if visible is None else visible
        monkeypatch.setattr(device, "read_cards", lambda: CardTable(tuple(cards)))
        reason = "" if seen else "Everything is hidden."
        monkeypatch.setattr(device, "cuda_devices", lambda: VisibleDevices(tuple(seen), reason, doubt))
        monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: max(1, len(seen)))
        monkeypatch.setattr(torch.cuda, "is_initialized", lambda: in_use)
        monkeypatch.setattr(torch.version, "cuda", build)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)

    return make


def test_auto_takes_the_best_card(machine):
    """With the driver's name of it."""
    machine([card(0, 10), card(1, 20)])
    choice = choose_device()
    assert (choice.device, choice.gpu_uuid) == ("cuda:1", "GPU-1")
    assert "20 GiB free" in choice.reason


def test_auto_shares_when_all_are_in_use(machine):
    """An idle notebook of somebody else does not send a training to the CPU; the reason names it."""
    machine([card(0, 10, 5)])
    choice = choose_device("auto")
    assert choice.device == "cuda:0"
    assert "shared with process 5 (ann)" in choice.reason


def test_auto_keeps_the_card_that_this_process_uses(machine):
    """In a container, where it appears there under another number."""
    machine([Card(0, "GPU-0", "Card 0", device_free_bytes=GIB, processes=(CardProcess(77, GIB),))], in_use=True)
    assert choose_device().device == "cuda:0"


def test_cuda_shares_a_card_when_all_are_in_use(machine):
    """An explicit wish for a card."""
    machine([card(0, 10, 5)])
    assert choose_device("cuda").device == "cuda:0"


def test_a_doubtful_order_is_said(machine):
    """The card may be another one than the reason names."""
    machine([card(0, 10)], doubt="Perhaps another.")
    assert choose_device().reason.endswith("Perhaps another.")


def test_auto_takes_mps_without_cuda(machine):
    """An Apple computer."""
    machine(cuda=False, mps=True)
    assert choose_device().device == "mps"


def test_a_cpu_build_beside_a_card_is_said(machine):
    """The card is named, and where to get another PyTorch."""
    machine([card(0, 10)], cuda=False, build=None)
    choice = choose_device()
    assert choice.device == "cpu"
    assert "GPU 0 (Card 0)" in choice.reason
    assert "built without CUDA" in choice.reason


def test_hidden_cards_are_the_reason(machine):
    """CUDA_VISIBLE_DEVICES hides them."""
    machine([card(0, 10)], visible=[], cuda=False)
    assert "hidden" in choose_device().reason


def test_a_driver_that_is_too_old_is_the_reason(machine, monkeypatch):
    """PyTorch says so in a warning; it becomes the reason and is not shown twice."""
    machine(cuda=False)

    def warn():
        warnings.warn("The NVIDIA driver on your system is too old", UserWarning, stacklevel=1)
        return False

    monkeypatch.setattr(torch.cuda, "is_available", warn)
    assert "too old" in choose_device().reason


def test_cuda_without_a_list_of_cards_takes_the_first(machine):
    """PyTorch can use CUDA and the driver tells nothing, as on AMD cards."""
    machine([], visible=[])
    choice = choose_device()
    assert (choice.device, choice.gpu_uuid) == ("cuda:0", None)


def test_a_numbered_card_is_taken_as_asked(machine):
    """Also when others use it; the reason says so."""
    machine([card(0, 10), card(1, 20, 5)])
    choice = choose_device("cuda:1")
    assert (choice.device, choice.gpu_uuid) == ("cuda:1", "GPU-1")
    assert "process 5" in choice.reason


def test_mps_and_cpu_are_taken_as_asked(machine):
    """When they exist."""
    machine(cuda=False, mps=True)
    assert [choose_device(name).device for name in ("mps", "cpu")] == ["mps", "cpu"]


@pytest.mark.parametrize("request_", ["cuda:2", "mps", "tpu", "cuda:x", "cuda:-1", "", None, 0])
def test_what_does_not_exist_is_refused(machine, request_):
    """The message shows what came and lists what exists."""
    machine([card(0, 10), card(1, 20)])
    with pytest.raises(ConfigError, match="cuda:0, cuda:1, cpu") as caught:
        choose_device(request_)
    assert repr(request_) in str(caught.value)


@pytest.mark.parametrize("request_", ["cuda", "cuda:0"])
def test_cuda_without_cuda_is_refused_with_the_reason(machine, request_):
    """A CPU build cannot, and the message says why."""
    machine(cuda=False, build=None)
    with pytest.raises(ConfigError, match="built without CUDA"):
        choose_device(request_)


def test_choosing_initialises_no_cuda():
    """On this machine, as it is."""
    before = torch.cuda.is_initialized()
    choose_device()
    assert torch.cuda.is_initialized() == before
