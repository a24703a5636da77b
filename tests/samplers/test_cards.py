"""The table of cards, read through a stub driver, and its text."""

from __future__ import annotations

import json

from bigmodel_lab.samplers import Card, CardProcess, CardTable

TABLE = """
    from bigmodel_lab.samplers import read_cards
    show(read_cards().as_json())
"""
BUSY = Card(
    index=0,
    uuid="GPU-a",
    name="T4",
    device_used_bytes=2**30,
    device_total_bytes=2**34,
    gpu_utilization_percent=None,
    temperature_celsius=60,
    power_watts=70,
    mig_enabled=True,
    processes=(
        CardProcess(7, 2**29, user="ann", command="python", notebook="work/train.ipynb", age_seconds=75, mine=True),
        CardProcess(12345, None, reason="Not visible from here."),
    ),
    reasons={"gpu_utilization_percent": "Split."},
)


def test_every_card_is_listed(stub):
    """Two cards with their numbers, also those that CUDA_VISIBLE_DEVICES hides."""
    stub.environment = {"CUDA_VISIBLE_DEVICES": ""}
    cards = stub.run("cards 2\n1.name Stub H100\n1.used 5\n1.reserved 1\n1.total 16", TABLE)["cards"]
    assert [card["name"] for card in cards] == ["Stub T4", "Stub H100"]
    assert [cards[1][f"device_{x}_bytes"] for x in ("used", "free", "total")] == [5, 10, 16]
    assert cards[1]["mig_enabled"] is False
    assert cards[1]["power_watts"] == 70.5


def test_this_process_is_mine(stub):
    """User, age and command line of the process itself."""
    code = """
        from bigmodel_lab.samplers import read_cards
        settings(f"0.process {os.getpid()} 4096")
        show(read_cards({os.getpid(): "work/train.ipynb"}).as_json()["cards"][0]["processes"][0])
    """
    process = stub.run("", code)
    assert process["mine"] is True
    assert process["used_bytes"] == 4096
    assert process["notebook"] == "work/train.ipynb"
    assert process["command"].startswith("python")
    assert 0 <= process["age_seconds"] < 600
    assert process["reason"] == ""


def test_a_process_that_cannot_be_seen_is_a_strangers(stub):
    """The number is shown, the rest is unknown with the reason."""
    process = stub.run("0.process 4194399 hidden", TABLE)["cards"][0]["processes"][0]
    assert (process["pid"], process["user"], process["used_bytes"], process["mine"]) == (4194399, None, None, False)
    assert "not visible from here" in process["reason"]
    assert "not its memory" in process["reason"]


def test_a_number_that_is_not_told_has_a_reason(stub):
    """By the name of the field."""
    card = stub.run("fail.nvmlDeviceGetPowerUsage 3", TABLE)["cards"][0]
    assert card["power_watts"] is None
    assert card["reasons"].keys() == {"power_watts"}


def test_the_power_limit_is_told(stub):
    """In watts, as what the card draws."""
    assert stub.run("0.limit_milliwatts 350000", TABLE)["cards"][0]["power_limit_watts"] == 350


def test_mig_mode_is_shown(stub):
    """A split card, without utilization."""
    card = stub.run("0.mig 1\n0.mig_uuid MIG-1", TABLE)["cards"][0]
    assert card["mig_enabled"] is True
    assert "MIG" in card["reasons"]["gpu_utilization_percent"]


def test_a_process_list_that_is_not_told_is_unknown_not_empty(stub):
    """Nobody and not known are different."""
    failing = "fail.nvmlDeviceGetComputeRunningProcesses 4"
    assert stub.run(failing, TABLE)["cards"][0]["processes"] is None


def test_a_card_that_cannot_be_reached_keeps_its_line(stub):
    """A lost card is listed with the reason."""
    card = stub.run("fail.nvmlDeviceGetHandleByIndex 15", TABLE)["cards"][0]
    assert "lost" in card["reasons"]["uuid"]


def test_without_a_driver_the_table_is_empty_with_the_reason(stub, tmp_path):
    """As text, the reason is the table."""
    stub.folders = [tmp_path]
    code = (
        "from bigmodel_lab.samplers import read_cards\ntable = read_cards()\nshow([len(table.cards), table.render()])"
    )
    count, shown = stub.run("", code)
    assert count == 0
    assert "no NVIDIA driver" in shown


def test_a_driver_without_cards_says_so(stub):
    """A driver that lists none."""
    assert stub.run("cards 0", TABLE)["reason"]


def test_the_text_shows_all():
    """One line for the card, one for each process, one for each reason."""
    assert CardTable((BUSY,)).render().splitlines() == [
        "GPU 0  T4  1 GiB of 16 GiB  –  60 °C  70 W  MIG",
        "    pid 7      ann  512 MiB  1 min 15 s  yours  work/train.ipynb",
        "    pid 12345  –    –        –                  –",
        "    – Split.",
        "    – Not visible from here.",
    ]


def test_columns_of_cards_stand_below_each_other():
    """Two cards with names of different length."""
    lines = CardTable((Card(0, "GPU-a", "T4"), Card(1, "GPU-b", "H100 PCIe"))).render().splitlines()
    assert lines[0].index("– of –") == lines[1].index("– of –")


def test_json_holds_plain_values():
    """It can be written and read back unchanged."""
    plain = CardTable((BUSY,)).as_json()
    assert json.loads(json.dumps(plain)) == plain
    assert plain["cards"][0]["processes"][0]["notebook"] == "work/train.ipynb"
