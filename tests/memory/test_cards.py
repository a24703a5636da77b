"""Cards by name, and what a process loses on them before its first tensor."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bigmodel_lab.errors import UnknownNameError
from bigmodel_lab.memory import cards as module
from bigmodel_lab.memory.cards import Card, card, cards, cublas_workspace_bytes, cublaslt_workspace_bytes

GIB = 2**30
ASKED_FOR = (
    ["T4", "P100", "V100-16", "V100-32", "A10", "A10G", "L4", "L40S", "A40"]
    + ["A100-40", "A100-80", "H100-80", "H200", "B200", "GH200"]
    + [f"RTX {number}" for number in (3060, 3070, 3080, 3090, 4060, 4070, 4080, 4090, 5070, 5080, 5090)]
    + ["RTX 2080 Ti", "RTX 5060 Ti 16GB", "H100-80 PCIe", "Colab T4", "Kaggle T4", "Kaggle P100", "Colab A100"]
)


@pytest.mark.parametrize("name", ASKED_FOR)
def test_the_usual_cards_are_known(name: str) -> None:
    """Each of them has a total, a compute capability and a context that fits into it."""
    found = card(name)

    assert 0 < found.context_bytes < found.total_bytes
    assert (6, 0) <= found.capability <= (12, 1)


@pytest.mark.parametrize(
    ("name", "least", "most"),
    [
        ("T4", 14.5, 14.8),
        ("P100", 15.8, 16.0),
        ("V100-32", 31.7, 31.8),
        ("RTX 3090", 23.6, 23.8),
        ("RTX 4090", 23.5, 23.7),
        ("A10G", 22.0, 22.2),
        ("L4", 22.0, 22.1),
        ("A100-40", 39.3, 39.6),
        ("A100-80", 79.1, 79.4),
        ("H100", 79.1, 79.4),
        ("H200", 139.7, 139.9),
        ("RTX 5090", 31.3, 31.4),
    ],
)
def test_a_total_is_what_torch_reports_and_not_what_is_printed_on_the_box(name: str, least: float, most: float) -> None:
    """In GiB, as the messages of real runs have it."""
    assert least <= card(name).total_bytes / GIB <= most


@pytest.mark.parametrize(
    "written",
    ["A100-80", "a100-80", "a100 80gb", "A100-SXM4-80GB", "NVIDIA A100-SXM4-80GB", "  A100 80 GB "],
)
def test_a_name_may_be_written_as_people_do(written: str) -> None:
    """Case, blanks, hyphens, maker and GB do not matter."""
    assert card(written).name == "A100-80"


def test_torchs_own_names_are_understood() -> None:
    """As ``get_device_properties().name`` gives them."""
    names = ["NVIDIA GeForce RTX 4090", "Tesla T4", "Tesla P100-PCIE-16GB", "NVIDIA H100 80GB HBM3", "NVIDIA H200"]

    assert [card(name).name for name in names] == ["RTX 4090", "T4", "P100", "H100-80", "H200"]


def test_of_several_sizes_the_smallest_is_meant() -> None:
    """Who writes A100 or V100 is not promised more than the card may have."""
    assert card("A100").total_bytes == min(card("A100-40").total_bytes, card("A100-80").total_bytes)
    assert card("V100").total_bytes < card("V100-32").total_bytes


def test_a_card_is_returned_as_it_is() -> None:
    """So that every function takes a card or its name."""
    mine = Card("mine", 10 * GIB, (8, 6), GIB, "measured")

    assert card(mine) is mine


@pytest.mark.parametrize(("size", "total_bytes"), [("24GiB", 24 * GIB), ("24GB", 24 * 10**9), (" 1.5 GiB ", 3 * 2**29)])
def test_any_size_makes_a_card(size: str, total_bytes: int) -> None:
    """Its total is the size itself, its context that of most cards."""
    made = card(size)

    assert (made.total_bytes, made.capability, made.name) == (total_bytes, (8, 0), size.strip())
    assert made.context_bytes == card("T4").context_bytes


def test_a_made_up_card_says_so() -> None:
    """Nobody shall take it for a measured one."""
    assert "made up" in card("24GiB").source


@pytest.mark.parametrize("name", ["RTX 4900", "24", "24 apples", ""])
def test_an_unknown_card_is_refused(name: str) -> None:
    """The message has what came, and that sizes are allowed."""
    with pytest.raises(UnknownNameError, match="24GiB") as refused:
        card(name)
    assert repr(name) in str(refused.value)


def test_the_nearest_name_is_suggested() -> None:
    """As for models."""
    with pytest.raises(UnknownNameError, match="Did you mean 'RTX 4090'"):
        card("RTX 4900")


def test_cards_come_the_smallest_first() -> None:
    """As tables show them."""
    totals = [known.total_bytes for known in cards()]

    assert totals == sorted(totals)
    assert len(totals) > 30


def test_no_name_stands_for_two_cards() -> None:
    """Names and aliases, without what people leave out."""
    keys = [{module._key(name) for name in (known.name, *known.aliases)} for known in cards()]

    assert sum(map(len, keys)) == len(set().union(*keys))


def test_every_number_has_its_source() -> None:
    """Of the total and of the context."""
    assert [known.name for known in cards() if not (known.source and known.context_source)] == []


def test_what_was_only_derived_is_called_unverified() -> None:
    """A total that no card was read off, and the context of a card that nobody measured."""
    assert card("RTX 5070").source.startswith("unverified")
    assert card("H200").context_source.startswith("unverified")
    assert not card("A100-80").context_source.startswith("unverified")


def test_a_context_is_named_in_the_data_file() -> None:
    """Each card's context is one of those that the file explains, and each of them is used."""
    data = json.loads(Path(module.__file__).with_suffix(".json").read_text("utf-8"))

    assert {entry["context"] for entry in data["cards"]} == set(data["contexts"])


def test_context_and_other_processes_are_taken_off() -> None:
    """What is left is for tensors."""
    t4 = card("T4")

    assert t4.usable_bytes() == t4.total_bytes - t4.context_bytes
    assert t4.usable_bytes(others=GIB) == t4.usable_bytes() - GIB


def test_a_full_card_has_nothing_left() -> None:
    """Never less than nothing."""
    assert card("T4").usable_bytes(others=100 * GIB) == 0


@pytest.mark.parametrize(
    ("capability", "torch_version", "size"),
    [
        ((7, 5), (2, 13), 8_519_680),
        ((8, 9), (2, 13), 8_519_680),
        ((9, 0), (2, 11), 32 * 2**20),
        ((9, 0), (2, 13), 32 * 2**20),
        ((10, 0), (2, 11), 8_519_680),
        ((10, 0), (2, 13), 32 * 2**20),
        ((12, 0), (2, 12), 32 * 2**20),
    ],
)
def test_cublas_takes_its_workspace_by_architecture(
    capability: tuple[int, int], torch_version: tuple[int, int], size: int
) -> None:
    """CublasHandlePool.cpp, parseChosenWorkspaceSize: Blackwell as Hopper from torch 2.12 on."""
    assert cublas_workspace_bytes(capability, torch_version) == size


def test_the_workspace_can_be_configured() -> None:
    """CUBLAS_WORKSPACE_CONFIG: sizes in KiB, each with its count, on every card."""
    assert cublas_workspace_bytes((9, 0), config=":16:8:4096:2") == 8_519_680
    assert cublas_workspace_bytes((7, 5), config=":16:8") == 16 * 1024 * 8


def test_a_configuration_that_torch_does_not_understand_is_ignored() -> None:
    """Torch warns, and takes the default of the card."""
    assert cublas_workspace_bytes((9, 0), config="large") == 32 * 2**20


def test_cublaslt_has_its_own_workspace_up_to_torch_2_11() -> None:
    """From 2.12 on it works in the one of cuBLAS."""
    assert [cublaslt_workspace_bytes((8, 0), version) for version in ((2, 6), (2, 11), (2, 12))] == [2**20, 2**20, 0]


def test_without_torch_the_newest_known_rule_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sizes can be asked where PyTorch is not installed."""

    def missing(package: str) -> str:
        raise module.PackageNotFoundError(package)

    module._installed_torch.cache_clear()
    monkeypatch.setattr(module, "version", missing)
    try:
        assert module._installed_torch() == module.NEWEST_KNOWN
    finally:
        module._installed_torch.cache_clear()


def test_the_installed_torch_is_found_by_its_metadata(monkeypatch: pytest.MonkeyPatch) -> None:
    """A local version such as +cu130 does not matter."""
    module._installed_torch.cache_clear()
    monkeypatch.setattr(module, "version", lambda _: "2.11.0+cu130")
    try:
        assert cublaslt_workspace_bytes((9, 0)) == 2**20
    finally:
        module._installed_torch.cache_clear()
