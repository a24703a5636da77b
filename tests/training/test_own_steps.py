"""Rows of a loop that is not ours, on the CPU and behind a device's queue."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from bigmodel_lab.errors import ShapeError
from bigmodel_lab.runlog import RunLog
from bigmodel_lab.training import OwnSteps
from bigmodel_lab.training.readings import ScalarQueue


@pytest.fixture
def log(tmp_path) -> Iterator[RunLog]:
    """A run log in a folder of its own."""
    log = RunLog.create("own", tmp_path)
    yield log
    log.close()


def columns(log: RunLog) -> dict[str, np.ndarray]:
    """Values of the stream of steps by key."""
    return dict(zip(log.stream("step").keys, log.read("step").values.T, strict=True))


def test_values_become_columns_in_the_order_they_came(log):
    """The first step decides the order of the columns."""
    steps = OwnSteps(log, torch.device("cpu"))
    steps.step(0, 4, {"loss": torch.tensor(0.5), "score": 2})

    assert log.stream("step").keys == (
        *("step_seconds", "samples_per_second", "data_wait_share"),
        *("loss", "score"),
    )


def test_a_missing_value_is_unknown(log):
    """A step that does not report a metric has NaN there, not the value of before."""
    steps = OwnSteps(log, torch.device("cpu"))
    steps.step(0, 4, {"loss": 1.0})
    steps.step(1, 4, {})

    assert np.isnan(columns(log)["loss"][1])


def test_unknown_samples_mean_unknown_throughput(log):
    """Without a number of samples there is a step time and no rate."""
    steps = OwnSteps(log, torch.device("cpu"))
    steps.step(0, None, {})

    assert np.isnan(columns(log)["samples_per_second"][0])


def test_a_tensor_of_several_numbers_is_refused(log):
    """The message names the metric and the shape."""
    with pytest.raises(ShapeError, match=r"grad=…\) got a tensor of shape \(2, 2\)"):
        OwnSteps(log, torch.device("cpu")).step(0, None, {"grad": torch.zeros(2, 2)})


def test_queued_rows_are_delivered_whole_and_in_order():
    """Rows of different length come back with their own facts and numbers."""
    got: list[tuple[float, ...]] = []
    queue = ScalarQueue("cpu", columns=3, fetch_ns=10**15)
    queue.put(lambda *row: got.append(row), ("a",), (torch.tensor(1.0),))
    queue.put(lambda *row: got.append(row), ("b",), (torch.tensor(2.0), torch.tensor(3.0)))
    held_back = list(got)
    queue.drain()

    assert (held_back, got) == ([], [("a", 1.0), ("b", 2.0, 3.0)])


def test_values_on_a_device_keep_their_row(log):
    """What waits on the device meets the values that were known at once in the same row."""
    steps = OwnSteps(log, torch.device("cpu"))
    steps._queue = ScalarQueue("cpu", columns=16, fetch_ns=0)
    steps._on_device = lambda values: {k: v for k, v in values.items() if isinstance(v, torch.Tensor)}
    steps.step(0, 2, {"loss": torch.tensor(0.25), "rate": 0.1})

    assert [columns(log)[key][0] for key in ("loss", "rate")] == [0.25, 0.1]


def test_names_in_another_order_keep_their_columns(log):
    """The columns belong to the names, not to the order of a call."""
    steps = OwnSteps(log, torch.device("cpu"))
    steps.step(0, 4, {"loss": 0.5, "accuracy": 0.25})
    steps.step(1, 4, {"accuracy": 0.75, "loss": 0.125})

    assert log.read("step").values[:, 3:].tolist() == [[0.5, 0.25], [0.125, 0.75]]
