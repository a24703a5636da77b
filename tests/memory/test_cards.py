"""Cards by name, and what a process loses on them before its first tensor."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from bigmodel_lab.errors import UnknownNameError
from bigmodel_lab.memory import cards as module
from bigmodel_lab.memory.cards import (
    Card,
    Figure,
    card,
    card_at_hand,
    cards,
    cublas_workspace_bytes,
    cublaslt_workspace_bytes,
)

MIB, GIB = 2**20, 2**30
UNITS = {"B": 1, "MB": MIB, "MiB": MIB, "GB": GIB, "GiB": GIB}
"""As torch and Unsloth print them: powers of 1024, whatever they call them."""
CARDS = pytest.mark.parametrize("one", cards(), ids=lambda one: one.name)
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

    assert 0 < found.context_range[0] <= found.context_bytes <= found.context_range[1] < found.total_bytes
    assert (6, 0) <= found.capability <= (12, 1)


@pytest.mark.parametrize(
    ("name", "least", "most"),
    [
        ("T4", 14.5, 14.8),
        ("P100", 15.8, 16.0),
        ("V100-32", 31.7, 31.8),
        ("RTX 3090", 23.5, 23.8),
        ("RTX 4090", 23.5, 23.7),
        ("A10G", 21.9, 22.2),
        ("L4", 21.9, 22.2),
        ("A100-40", 39.3, 39.6),
        ("A100-80", 79.1, 79.4),
        ("H100", 79.1, 79.4),
        ("H200", 139.7, 139.9),
        ("RTX 5090", 31.3, 31.4),
    ],
)
def test_a_total_is_what_torch_reports_and_not_what_is_printed_on_the_box(name: str, least: float, most: float) -> None:
    """In GiB, as the messages of real runs have it, at both ends."""
    smallest, largest = card(name).total_range

    assert least <= smallest / GIB <= largest / GIB <= most


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
    mine = Card.exact("mine", 10 * GIB, (8, 6), GIB, "measured")

    assert card(mine) is mine


@pytest.mark.parametrize(("size", "total_bytes"), [("24GiB", 24 * GIB), ("24GB", 24 * 10**9), (" 1.5 GiB ", 3 * 2**29)])
def test_any_size_makes_a_card(size: str, total_bytes: int) -> None:
    """Its total is the size itself."""
    made = card(size)

    assert (made.total_range, made.capability, made.name) == ((total_bytes, total_bytes), (8, 0), size.strip())


@pytest.mark.parametrize("size", ["1GiB", "8GiB", "16GiB", "24GiB", "48GiB", "80GiB", "200GiB"])
def test_the_context_of_a_size_holds_for_every_card_up_to_it(size: str) -> None:
    """Who plans by size alone is not promised more than any of those cards gives."""
    made = card(size)
    meant = [known for known in cards() if known.total_bytes <= made.total_bytes] or [cards()[0]]

    assert made.context_range[0] == min(known.context_range[0] for known in cards())
    assert made.context_range[1] == max(known.context_range[1] for known in meant)
    assert made.context_range[0] <= made.context_bytes <= made.context_range[1]


def test_a_made_up_card_says_so() -> None:
    """Nobody shall take it for a measured one."""
    assert "made up" in card("24GiB").least_total.source


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


def figures(one: Card) -> tuple[Figure, ...]:
    """Every number of bytes of a card."""
    return one.least_total, one.most_total, one.least_context, one.usual_context, one.most_context


@CARDS
def test_every_number_has_its_source_and_year(one: Card) -> None:
    """Both totals and the three sizes of a context."""
    for figure in figures(one):
        assert figure.source
        assert figure.year is not None
        assert 2017 <= figure.year <= 2026


@CARDS
def test_a_card_has_its_ends_in_order(one: Card) -> None:
    """Neither range is turned around, and the usual context lies in its range."""
    assert one.total_range[0] <= one.total_range[1]
    assert one.context_range[0] <= one.context_bytes <= one.context_range[1]


def rounded(source: str) -> tuple[float, float]:
    """Between what a figure as it was printed can stand for, in bytes."""
    found = re.match(r"(?:unverified: )?([\d.]+) (B|MB|MiB|GB|GiB)\b", source)
    assert found is not None, source
    printed, unit = found.groups()
    half = 0.5 * 10.0 ** -len(printed.partition(".")[2])
    below, above = (0.0, 1.0) if unit == "MB" else (half, half)  # torch cuts off, others round
    return (float(printed) - below) * UNITS[unit], (float(printed) + above) * UNITS[unit]


@CARDS
def test_a_total_is_the_figure_of_its_source(one: Card) -> None:
    """Of a rounded figure the lower end counts for the least, the upper end for the most."""
    assert one.least_total.bytes == pytest.approx(rounded(one.least_total.source)[0], abs=1)
    assert one.most_total.bytes == pytest.approx(rounded(one.most_total.source)[1], abs=1)


def test_a_t4_is_as_it_is_today() -> None:
    """14.56 GiB in ten messages of 2025 and 2026, 14.76 in older ones; a context of 141 MiB was measured."""
    t4 = card("T4")

    assert [round(total / GIB, 2) for total in t4.total_range] == [14.56, 14.76]
    assert t4.context_bytes == 141 * MIB
    assert t4.context_range[0] <= 141 * MIB <= t4.context_range[1]
    assert t4.usual_context.software == "torch 2.14, CUDA 13"


def test_what_was_only_derived_is_called_unverified() -> None:
    """A total that no card was read off, and the context of a card that nobody measured."""
    assert card("RTX 5070").least_total.source.startswith("unverified")
    assert card("H100").usual_context.source.startswith("unverified")
    assert not card("H200").usual_context.source.startswith("unverified")
    assert not card("T4").usual_context.source.startswith("unverified")


def test_a_context_is_named_in_the_data_file() -> None:
    """Each card's context is one of those that the file explains, and each of them is used."""
    data = json.loads(Path(module.__file__).with_suffix(".json").read_text("utf-8"))

    assert {entry["context"] for entry in data["cards"]} == set(data["contexts"])


def test_context_and_other_processes_are_taken_off() -> None:
    """What is left is for tensors: of the smallest total, beside the largest context."""
    t4 = card("T4")

    assert t4.usable_bytes() == t4.total_range[0] - t4.context_range[1]
    assert t4.usable_bytes(others=GIB) == t4.usable_bytes() - GIB


@CARDS
def test_nothing_is_promised_that_one_of_its_kind_lacks(one: Card) -> None:
    """Whatever total and context such a card has, so much is left for tensors."""
    assert one.usable_bytes() == min(
        total - context for total in one.total_range for context in (*one.context_range, one.context_bytes)
    )


@CARDS
def test_at_its_smallest_a_card_has_no_ranges(one: Card) -> None:
    """And gives what every one of its kind gives, to the byte."""
    smallest = one.at_its_smallest()

    assert len(set(smallest.total_range)) == len({*smallest.context_range, smallest.context_bytes}) == 1
    assert smallest.usable_bytes() == one.usable_bytes()
    assert (smallest.name, smallest.capability) == (one.name, one.capability)


def test_a_card_of_a_known_size_keeps_its_context() -> None:
    """What CUDA reports is the total, to the byte."""
    sized = card("T4").sized(10 * GIB)

    assert sized.total_range == (10 * GIB, 10 * GIB)
    assert sized.context_range == card("T4").context_range


def test_what_cuda_reports_holds_to_the_byte() -> None:
    """Of a known card and of another."""
    known = card_at_hand("Tesla T4", 15 * GIB, by_cuda=True)
    other = card_at_hand("GPU 3000", 15 * GIB, by_cuda=True)

    assert known is not None
    assert other is not None
    assert known.total_range == other.total_range == (15 * GIB, 15 * GIB)
    assert (known.name, other.name) == ("T4", "GPU 3000")


def test_of_what_nvml_reports_the_driver_keeps_a_part() -> None:
    """A known card has what such cards have shown, an unknown one has the whole only at best."""
    assert card_at_hand("Tesla T4", 15 * GIB) == card("T4")
    other = card_at_hand("GPU 3000", 15 * GIB)

    assert other is not None
    assert other.total_range[0] < other.total_range[1] == 15 * GIB


@pytest.mark.parametrize(
    ("name", "by_nvidia_smi"),
    [
        ("RTX 3060", 12_288),
        ("T4", 15_360),
        ("A10G", 23_028),
        ("L4", 23_034),
        ("RTX 4090", 24_564),
        ("RTX 3090", 24_576),
        ("RTX 5090", 32_607),
        ("A100-40", 40_960),
        ("L40S", 46_068),
        ("H100", 81_559),
        ("A100-80", 81_920),
        ("H200", 143_771),
        ("B200", 183_359),
    ],
)
def test_no_driver_keeps_more_than_is_taken_off_an_unknown_card(name: str, by_nvidia_smi: int) -> None:
    """What is known of cards by name holds for the rule of cards by size, too."""
    unknown = card_at_hand("GPU 3000", by_nvidia_smi * MIB)

    assert unknown is not None
    assert unknown.total_range[0] <= card(name).total_range[0] <= card(name).total_range[1] <= unknown.total_range[1]


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
