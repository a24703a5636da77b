"""Peaks of documented models beside those that torch's own MemTracker counts on the same step.

It counts tensors as a CPU makes them, and no workspaces; where no rule corrects a tensor at the peak, both must agree to
the byte.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.distributed._tools.mem_tracker import MemTracker

from bigmodel_lab.estimate._models import resolve_model
from bigmodel_lab.estimate._plan import Plan
from bigmodel_lab.estimate._source import ModelSource
from bigmodel_lab.memory.requests import RequestTrace
from bigmodel_lab.trace._fake import batch_of_stand_ins, model_of_stand_ins
from bigmodel_lab.training.objectives import Objective

SAMPLES = 8


def traced(source: ModelSource, batch: Any) -> int:
    """Our peak, without workspaces."""
    assert source.loss is not None
    return peak_of_tensors(Plan(source, source.loss, batch, SAMPLES, optimizer="sgd").trace())


def peak_of_tensors(trace: RequestTrace) -> int:
    """Most bytes at once of what is a tensor."""
    now = most = 0
    for kind, number in trace:
        if trace.allocations[number].dtype:
            now += trace.allocations[number].bytes * (1 if kind == "alloc" else -1)
            most = max(most, now)
    return most


def tracked(source: ModelSource, batch: Any) -> int:
    """Its peak of two steps."""
    assert isinstance(source.loss, Objective)
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    model, (x, y) = model_of_stand_ins(source.build(), mode), batch_of_stand_ins(batch, mode)
    tracker = MemTracker()
    with mode:
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1, foreach=True)
        tracker.track_external(model, optimizer, x, y)
        with tracker:
            for _ in range(2):
                optimizer.zero_grad()
                output = model(x)
                loss = source.loss.loss(output, y)
                correct = source.loss.count_correct(output, y)
                del output
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                tracker.reset_mod_stats()
                del loss, correct
    return int(tracker.get_tracker_snapshot("peak")[torch.device("cpu")]["Total"])


@pytest.mark.parametrize("name", ["mlp", "cifar_cnn", "mnist_cnn"])
def test_both_agree_to_the_byte(name: str) -> None:
    """Linear layers, convolutions, batch norm, pooling."""
    source = resolve_model(name)
    assert source.example is not None
    batch = source.example(SAMPLES)

    assert traced(source, batch) == tracked(source, batch)


def test_masks_of_dropout_and_the_loss_make_the_difference() -> None:
    """At the autoencoder's peak: one byte per element instead of four, and the loss of every element."""
    source = resolve_model("autoencoder")
    assert source.example is not None
    batch = source.example(SAMPLES)
    loss_bytes = batch[1].numel() * 4 - 4
    difference = tracked(source, batch) - (traced(source, batch) - loss_bytes)

    assert difference > 0
    assert difference % 3 == 0
