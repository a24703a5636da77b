"""`bigmodel-lab estimate`, as it is typed in a terminal."""

from __future__ import annotations

import json

import pytest

import bigmodel_lab as lab
from bigmodel_lab.cli import main


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What the command prints when all goes well."""
    assert main(["estimate", *arguments]) == 0
    return capsys.readouterr().out


def test_the_first_line_answers_the_question(capsys: pytest.CaptureFixture[str]):
    """Peak and verdict for the card, labelled as simulated."""
    first = printed(capsys, "mlp", "--gpu", "T4").splitlines()[0]

    assert first.startswith("Peak ")
    assert "simulated" in first
    assert "T4 (14.8 GiB): fits" in first


def test_the_text_tells_what_the_peak_is_made_of(capsys: pytest.CaptureFixture[str]):
    """Categories, the moment, the largest tensors, and every known card, in this order."""
    text = printed(capsys, "mlp")
    parts = ["at the peak", "The peak comes", "Largest at the peak", "500 × 784", "Fits on", "H200"]

    places = [text.index(part) for part in parts]
    assert places == sorted(places)


def test_json_has_the_numbers_of_the_estimate(capsys: pytest.CaptureFixture[str]):
    """Programs read the same bytes that Python gives."""
    read = json.loads(printed(capsys, "mlp", "--gpu", "T4", "--micro-batch-size", "32", "--json"))
    same = lab.estimate_memory("mlp", gpu="T4", micro_batch_size=32)

    assert read == json.loads(json.dumps(same.as_json()))
    assert (read["peak_allocated_bytes"], read["verdict"], read["simulated"]) == (
        same.peak_allocated_bytes,
        "fits",
        True,
    )


def test_options_reach_the_estimate(capsys: pytest.CaptureFixture[str]):
    """Precision, micro-batch and optimizer are those that were typed."""
    options = ["--precision", "bf16", "--micro-batch-size", "16", "--json"]
    by_sgd = json.loads(printed(capsys, "mlp", "--optimizer", "sgd", *options))
    by_adam = json.loads(printed(capsys, "mlp", "--optimizer", "adamw", *options))

    assert (by_sgd["precision"], by_sgd["micro_batch_size"]) == ("bf16", 16)
    assert "optimizer_state" not in by_sgd["by_category"]
    assert by_adam["by_category"]["optimizer_state"] > 0


def test_checkpointing_takes_less_where_blocks_repeat(capsys: pytest.CaptureFixture[str]):
    """The blocks of the documented Transformer recompute their activations."""
    kept = json.loads(printed(capsys, "transformer", "--json"))
    recomputed = json.loads(printed(capsys, "transformer", "--checkpointing", "--json"))

    assert recomputed["checkpointing"] is True
    assert recomputed["peak_allocated_bytes"] < kept["peak_allocated_bytes"]


def test_without_a_card_there_is_no_verdict(capsys: pytest.CaptureFixture[str]):
    """Nobody asked whether it fits, so nothing is said about it."""
    read = json.loads(printed(capsys, "mlp", "--json"))

    assert [read[name] for name in ("card", "device_bytes", "verdict")] == [None, None, None]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(["mpl"], "'mlp'"), (["mlp", "--gpu", "T44"], "T4"), (["mlp", "--micro-batch-size", "-1"], "at least 1")],
)
def test_a_mistake_is_one_line_and_status_1(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]):
    """A name that does not exist is answered with the nearest one."""
    assert main(["estimate", *arguments]) == 1

    error = capsys.readouterr().err
    assert error.startswith("bigmodel-lab: ")
    assert words in error
