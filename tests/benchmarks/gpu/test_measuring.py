"""A case makes the very steps that the trainer makes."""

from __future__ import annotations

import pytest
import torch

from benchmarks.gpu import measuring
from benchmarks.gpu.cases import ADAM, MOMENTUM, Case, Rule
from benchmarks.gpu.measuring import STEPS, measure, phases
from benchmarks.gpu.shapes import BERT, GPT, LSTM, MLP, ResNet, UNet, ViT
from benchmarks.gpu.subjects import Documented, Subject
from tests.benchmarks.gpu.standins import CountingCard

TINY = [
    MLP((5, 3)),
    Documented("mlp"),
    Documented("scratch_mlp"),
    Documented("autoencoder"),
    Documented("linear_regression"),
    Documented("bilstm_text"),
    ResNet(blocks=(1, 1), width=4, image=16, classes=3),
    ResNet(blocks=(1, 1), width=4, image=16, classes=3, bottleneck=True, checkpointing=True),
    ViT(image=32, width=8, depth=1, heads=2, classes=3),
    UNet(image=16, width=2, depth=2, classes=3),
    GPT(vocabulary=11, length=6, width=8, depth=2, heads=2, dropout=0.1, checkpointing=True),
    BERT(vocabulary=11, length=6, width=8, depth=1, heads=2),
    LSTM(vocabulary=11, length=6, width=4),
    LSTM(vocabulary=11, length=6, width=4, gru=True, bidirectional=True),
]


@pytest.mark.parametrize("subject", TINY, ids=lambda subject: subject.name)
def test_every_kind_of_subject_trains(subject: Subject) -> None:
    """Loading and two real steps on the CPU."""
    assert list(phases(Case(subject, 2, rule=MOMENTUM), "cpu")) == ["load", "step 0", "step 1"]


def test_a_step_is_the_trainers_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """``training_step`` gets each micro-batch, and all samples of the step."""
    calls: list[tuple[list[int], int]] = []

    def step(task: object, optimizer: object, parts: list[tuple[torch.Tensor, torch.Tensor]], samples: int) -> None:
        calls.append(([len(y) for _, y in parts], samples))

    monkeypatch.setattr(measuring, "training_step", step)
    list(phases(Case(MLP((5, 3)), 8, micro_batches=4), "cpu"))

    assert calls == [([2, 2, 2, 2], 8)] * STEPS


def test_both_steps_change_the_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """The optimizer really steps."""
    models: list[torch.nn.Module] = []
    make = measuring.make_optimizer

    def noting(name: str, parameters: object, rate: float, options: object) -> torch.optim.Optimizer:
        weights = list(parameters)  # type: ignore[call-overload]
        models.extend(weights)
        return make(name, weights, rate, options)

    monkeypatch.setattr(measuring, "make_optimizer", noting)
    seen = [models[0].detach().clone() for _ in phases(Case(MLP((5, 3)), 4, rule=ADAM), "cpu")]  # type: ignore[attr-defined]

    assert not torch.equal(seen[0], seen[1])
    assert not torch.equal(seen[1], seen[2])


def test_a_case_is_the_same_every_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights and inputs come from one seed."""
    inputs: list[torch.Tensor] = []
    monkeypatch.setattr(measuring, "training_step", lambda *given: inputs.append(given[2][0][0]))
    for _ in range(2):
        list(phases(Case(MLP((5, 3)), 4), "cpu"))

    assert torch.equal(inputs[0], inputs[STEPS])


def test_the_loss_of_fp16_is_not_scaled_so_far_that_it_overflows() -> None:
    """Else the scaler would skip the first step, and the optimizer's state would not be born."""
    assert measuring._with_scale({"scale": 65536.0, "growth_factor": 2.0}) == {"scale": 128.0, "growth_factor": 2.0}
    assert measuring._with_scale({}) == {}


def test_a_measurement_begins_from_a_cleared_card() -> None:
    """Nothing of the case before counts."""
    card = CountingCard()
    measure(Case(MLP((5, 3)), 2), card)

    assert card.cleared == 1


def test_a_measurement_is_what_the_counters_say() -> None:
    """The fourth reading is the one after the last step: 3 × 512 B."""
    found = measure(Case(MLP((5, 3)), 2), CountingCard())

    assert found.peak_allocated_bytes == 1536
    assert found.peak_reserved_bytes == 3072
    assert (found.peak_active_bytes, found.peak_requested_bytes) == (1537, 1535)
    assert found.end_allocated_bytes == 768
    assert found.peaks_so_far == (512, 1024, 1536)
    assert found.outside_bytes is None
    assert found.seconds > 0


def test_what_was_left_on_the_card_is_told() -> None:
    """Such a case is not compared."""
    assert measure(Case(MLP((5, 3)), 2), CountingCard(leftover=2**20)).leftover_bytes == 2**20


def test_an_optimizer_with_settings_gets_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """As keywords of torch's class."""
    given: list[dict[str, object]] = []
    make = measuring.make_optimizer

    def noting(name: str, parameters: object, rate: float, options: object) -> torch.optim.Optimizer:
        given.append({"name": name, **dict(options)})  # type: ignore[call-overload]
        return make(name, parameters, rate, options)  # type: ignore[arg-type]

    monkeypatch.setattr(measuring, "make_optimizer", noting)
    list(phases(Case(MLP((5, 3)), 2, rule=Rule("adamw", (("foreach", False),))), "cpu"))

    assert given == [{"name": "adamw", "foreach": False}]
