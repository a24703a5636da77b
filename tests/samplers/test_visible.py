"""Which cards a process may see, and their order."""

from __future__ import annotations

import pytest

from bigmodel_lab.samplers._visible import KnownCard, VisibleDevices, resolve

A, B, C = (KnownCard(f"GPU-{c}{c}0", "T4") for c in "abc")
FAST = KnownCard("GPU-ff0", "H100")
SPLIT = KnownCard("GPU-ss0", "A100", ("MIG-s1", "MIG-s2"))

LIST = """
    from bigmodel_lab.samplers._nvml import Nvml
    from bigmodel_lab.samplers._visible import cuda_devices, visible_devices
    cold, cuda, warm = visible_devices(Nvml()), cuda_devices(), visible_devices(Nvml())
    show([cold.uuids, cuda.uuids, warm.uuids, cuda.reason])
"""


@pytest.mark.parametrize(
    ("variable", "uuids"),
    [
        (None, (A, B, C)),
        ("0,1,2", (A, B, C)),
        ("2, 0", (C, A)),
        ("GPU-b", (B,)),
        ("GPU-cc0,GPU-aa0", (C, A)),
        ("1,GPU-a", (B, A)),
        ("0,2,-1,1", (A, C)),
        ("0,9,1", (A,)),
        ("1x,2y", (B, C)),
        ("GPU-a,GPU-zz,GPU-b", (A,)),
        ("GPU-", ()),
        ("1,1", ()),
        ("", ()),
        ("-1", ()),
        ("none", ()),
    ],
)
def test_the_environment_is_read_as_cuda_reads_it(variable, uuids):
    """Numbers, beginnings of UUIDs; it ends at the first entry that names no card; twice is none."""
    assert resolve((A, B, C), variable, None).uuids == tuple(card.uuid for card in uuids)


@pytest.mark.parametrize("variable", ["", "-1", "7"])
def test_hidden_cards_say_why(variable):
    """The reason shows the variable's value."""
    assert repr(variable) in resolve((A,), variable, None).reason


def test_no_card_at_all_says_so():
    """A driver without cards."""
    assert resolve((), None, None).reason


def test_equal_cards_have_a_certain_order():
    """CUDA keeps the bus order among equals."""
    assert resolve((A, B), None, None).doubt == ""


@pytest.mark.parametrize(
    ("variable", "order", "certain"),
    [
        (None, None, False),
        ("1,0", None, False),
        ("1,0", "FASTEST_FIRST", False),
        (None, "PCI_BUS_ID", True),
        ("1,0", "PCI_BUS_ID", True),
        ("GPU-ff,GPU-aa", None, True),
    ],
)
def test_different_cards_are_certain_by_uuid_or_bus_order_only(variable, order, certain):
    """By default CUDA puts the fastest first, which only CUDA knows."""
    assert (resolve((A, FAST), variable, order).doubt == "") is certain


def test_a_mig_instance_can_be_named():
    """By its own UUID, which is certain."""
    found = resolve((A, SPLIT), "MIG-s2", None)
    assert (found.uuids, found.doubt) == (("MIG-s2",), "")


def test_a_split_card_shows_one_instance_and_a_doubt():
    """CUDA shows one instance; which one is not known before it starts."""
    found = resolve((SPLIT,), None, None)
    assert found.uuids == ("MIG-s1",)
    assert "MIG" in found.doubt


def test_a_card_that_may_not_be_seen_has_no_number():
    """Its index is None."""
    assert VisibleDevices(("GPU-a",)).index("GPU-b") is None


def test_cuda_itself_is_asked_when_it_is_there(stub, cuda):
    """Its order wins over the environment; before somebody initialised it, the environment counts."""
    stub.folders.append(cuda)
    stub.environment = {"STUB_CUDA": "00000001" + "0" * 24 + "," + "0" * 32}
    first, second = (f"GPU-{i:08d}-0000-0000-0000-000000000000" for i in range(2))
    cold, asked, warm, _ = stub.run("cards 2", LIST)
    assert (cold, asked, warm) == ([first, second], [second, first], [second, first])


def test_cuda_tells_a_mig_instance_by_its_uuid(stub, cuda):
    """The bytes alone do not tell; NVML knows the instance."""
    stub.folders.append(cuda)
    stub.environment = {"STUB_CUDA": "1" * 32}
    mig = "MIG-11111111-1111-1111-1111-111111111111"
    assert stub.run(f"0.mig 1\n0.mig_uuid {mig}", LIST)[1] == [mig]


@pytest.mark.parametrize(("variable", "order"), [("1,0", [1, 0]), ("GPU-00000001", [1]), ("0", [0])])
def test_without_cuda_the_environment_is_asked(stub, variable, order):
    """Two cards, reordered by number and by UUID."""
    stub.environment = {"CUDA_VISIBLE_DEVICES": variable}
    uuids = [f"GPU-{i:08d}-0000-0000-0000-000000000000" for i in order]
    assert stub.run("cards 2", LIST)[1] == uuids


def test_cuda_without_cards_tells_the_reason_of_the_environment(stub, cuda):
    """Its start says 'no device' when the variable hides all of them."""
    stub.folders.append(cuda)
    stub.environment = {"STUB_CUDA": "", "CUDA_VISIBLE_DEVICES": "-1"}
    *_, uuids, reason = stub.run("cards 2", LIST)
    assert uuids == []
    assert "'-1'" in reason


def test_no_driver_tells_its_reason(stub, tmp_path):
    """Neither library is there."""
    stub.folders = [tmp_path]
    assert "no NVIDIA driver" in stub.run("", LIST)[3]
