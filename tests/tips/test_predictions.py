"""What tips predict of the memory, against the same steps on a simulated card."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch

from bigmodel_lab.estimate._of_run import estimate_run, resident_bytes
from bigmodel_lab.tips._evidence import memory_facts
from bigmodel_lab.tips._predict import Predictor
from bigmodel_lab.tips.base import MemoryEffect
from bigmodel_lab.training.rehearsal import rehearse
from tests.tips.evidences import Convolutions, Layers
from tests.training.fakes import FakeLog
from tests.training.small_card import small_gpu, trainer_on

BLOCKS = ("blocks.0", "blocks.1", "blocks.2")
CHANGES: dict[str, tuple[type[torch.nn.Module], dict[str, Any]]] = {
    "bf16": (Convolutions, {"precision": "bf16"}),
    "fp16": (Convolutions, {"precision": "fp16"}),
    "half the micro-batch": (Convolutions, {"micro_batch_size": 32}),
    "a ragged micro-batch": (Convolutions, {"micro_batch_size": 24}),
    "all blocks checkpointed": (Convolutions, {"activation_checkpointing": BLOCKS}),
    "one block checkpointed": (Convolutions, {"activation_checkpointing": BLOCKS[:1]}),
    "bf16 and checkpointed": (Convolutions, {"precision": "bf16", "activation_checkpointing": BLOCKS}),
    "offloaded": (Convolutions, {"activation_offload": True}),
    "optimizer tensor by tensor": (Layers, {"optimizer_options": {"foreach": False}}),
}


def predicted_and_measured(
    model: type[torch.nn.Module], change: dict[str, Any], *, anchored: bool
) -> tuple[MemoryEffect, int]:
    """The predicted effect, and the peak of the coming steps under the change.

    Args:
        model: What is trained.
        change: Fields of the settings.
        anchored: The prediction goes on from the measured peak of the present settings, as in a run.
    """
    from bigmodel_lab.api._tips import elsewhere

    gpu, log = small_gpu(1200), FakeLog()
    with gpu:
        trainer = trainer_on(gpu, log, model(), micro_batch_size=64, max_steps=3)
        trainer.run()
        measured = memory_facts(trainer) if anchored else None
        held = resident_bytes(trainer.data)
        predictor = elsewhere(
            lambda: Predictor(estimate_run(trainer, gpu.card), trainer.config, resident_bytes=held, measured=measured)
        )
        effect = elsewhere(lambda: predictor.effect(**change))
        (window,) = rehearse(trainer, [predictor.changed(**change)], 2)
    assert effect is not None
    assert window.peaks is not None
    return effect, window.peaks.allocated_bytes


@pytest.mark.parametrize(("model", "change"), CHANGES.values(), ids=CHANGES)
def test_the_measured_peak_lies_in_the_predicted_range(model: type[torch.nn.Module], change: dict[str, Any]) -> None:
    """On from what was measured before, as a card in the dashboard shows it."""
    effect, measured = predicted_and_measured(model, change, anchored=True)

    assert effect.least_bytes <= measured <= effect.most_bytes


@pytest.mark.parametrize("name", ["bf16", "half the micro-batch", "all blocks checkpointed"])
def test_the_range_holds_without_a_measured_step(name: str) -> None:
    """Before any step the estimate stands alone."""
    effect, measured = predicted_and_measured(*CHANGES[name], anchored=False)

    assert effect.least_bytes <= measured <= effect.most_bytes


@pytest.mark.parametrize("in_background", [False, True])
def test_the_estimate_of_a_run_has_the_workspaces_of_its_threads(in_background: bool) -> None:
    """In the background there are three of cuBLAS: of the thread that tried the model out, of the run, of its backward pass."""
    gpu = small_gpu(1200)
    with gpu:
        trainer = trainer_on(gpu, FakeLog(), Layers(), micro_batch_size=64, max_steps=3)

    def train() -> None:
        with gpu:
            trainer.run()

    with ThreadPoolExecutor(1) as background:
        background.submit(train).result() if in_background else train()
    predicted = estimate_run(trainer, gpu.card)
    workspaces = [one for one in predicted.trace.allocations if one.maker == "cuBLAS workspace"]

    assert len(workspaces) == (3 if in_background else 2)
    assert predicted.peak_allocated_bytes + resident_bytes(trainer.data) == pytest.approx(
        gpu.peak_allocated_bytes, rel=0.01
    )
