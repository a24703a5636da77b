"""The largest micro-batch of fit's loop, on a simulated card: found without an error, and without a trace."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import bigmodel_lab as lab
from bigmodel_lab.errors import ConfigError, UnitError, UnknownNameError
from bigmodel_lab.tips._found_batch_size import FoundBatchSize
from tests.api.broad import Broad, Searched, loss, numbers, picture
from tests.api.small import numbers as few_numbers
from tests.api.small import tiny

MIB = 2**20


@pytest.fixture(scope="module")
def searched() -> Searched:
    """A module of one's own, in 160 MiB."""
    model = Broad()
    before = picture(model)
    found = lab.find_batch_size(model, numbers(), device="virtual:2GiB", capacity="160MiB", optimizer="adam")
    return Searched(found, before, picture(model))


def few(**settings: Any) -> FoundBatchSize:
    """A search in a tiny model, for what does not depend on memory."""
    given: dict[str, Any] = {"device": "virtual:2GiB", "at_most": 32, "optimizer": "adam", **settings}
    return lab.find_batch_size(tiny(), few_numbers(), **given)


def run_of(micro_batch_size: int) -> lab.TrainingRun:
    """A run of fit in 160 MiB of the same card."""
    return lab.fit(
        Broad(),
        numbers(),
        device="virtual:2GiB",
        memory_fraction=160 / 2048,
        micro_batch_size=micro_batch_size,
        optimizer="adam",
        max_steps=2,
        on_oom="raise",
        seed=0,
        checkpoint="off",
    )


def test_no_trial_runs_out_of_memory(searched: Searched) -> None:
    """The estimate knows the size, and a trial confirms it."""
    assert searched.found.found.out_of_memory == 0
    assert len(searched.found.attempts) <= 2


def test_the_answer_was_tried(searched: Searched) -> None:
    """Never a size that did not run."""
    assert searched.found.largest in {attempt.size for attempt in searched.found.attempts if attempt.ran}


def test_the_answer_fills_the_memory(searched: Searched) -> None:
    """At least nine tenths, and no more than was allowed."""
    peak = searched.found.found.ran[-1].measured

    assert peak is not None
    assert 0.9 * 160 * MIB < peak.peak_bytes <= 160 * MIB


def test_a_run_of_that_size_runs(searched: Searched) -> None:
    """In the same memory."""
    assert run_of(searched.found.largest).status == "finished"


def test_a_run_slightly_larger_does_not(searched: Searched) -> None:
    """By 5 %."""
    with pytest.raises(torch.OutOfMemoryError):
        run_of(round(1.05 * searched.found.largest))


def test_the_model_and_random_numbers_are_as_before(searched: Searched) -> None:
    """Weights, batch statistics, gradients, modes and every random number, to the bit."""
    assert searched.after == searched.before


def test_what_is_simulated_says_so(searched: Searched) -> None:
    """And has no speed, so the largest is recommended."""
    assert searched.found.simulated
    assert searched.found.recommended == searched.found.largest


def test_no_more_than_the_data_has_is_tried() -> None:
    """Memory would take more."""
    found = lab.find_batch_size(tiny(), few_numbers(), device="virtual:2GiB")

    assert found.largest == found.found.at_most <= 118


def test_no_more_than_was_allowed_is_tried() -> None:
    """From at_most."""
    assert [attempt.size for attempt in few(at_most=7).attempts] == [7]


def test_frozen_parameters_learn_again_afterwards() -> None:
    """The setting is the run's, not the model's."""
    model = tiny()
    lab.find_batch_size(model, few_numbers(), device="virtual:2GiB", at_most=8, freeze=("0.*",))

    assert all(parameter.requires_grad for parameter in model.parameters())


def test_a_model_that_was_judging_is_judging_afterwards() -> None:
    """Trials train, and the mode comes back."""
    model = tiny().eval()
    lab.find_batch_size(model, few_numbers(), device="virtual:2GiB", at_most=8)

    assert not any(module.training for module in model.modules())


def test_a_cap_of_the_run_counts() -> None:
    """A hundredth of 2 GiB."""
    assert few(memory_fraction=0.01).capacity_bytes == int(0.01 * 2 * 2**30)


def test_accumulated_gradients_count() -> None:
    """Each micro-batch after the first runs beside them."""
    plain, accumulated = few().attempts[-1].measured, few(gradient_accumulation_steps=8).attempts[-1].measured

    assert plain is not None
    assert accumulated is not None
    assert accumulated.peak_bytes >= plain.peak_bytes


def test_half_precision_is_tried_as_it_runs() -> None:
    """On a card that has it."""
    assert few(precision="bf16", device="virtual:L4").largest == 32


def test_a_documented_model_goes_by_its_name() -> None:
    """On its own data."""
    found = lab.find_batch_size("mlp", device="virtual:2GiB", at_most=16)

    assert (found.model, found.largest) == ("mlp", 16)


def test_an_estimate_that_is_too_low_is_mended() -> None:
    """Not even one sample fits: little is tried, and nothing is promised."""
    found = few(capacity="1KiB")

    assert found.largest == 0
    assert "Not even a micro-batch of" in found.reason


def test_the_cpu_has_no_limit() -> None:
    """The error says how to simulate one."""
    with pytest.raises(ConfigError, match=r"cpu has no memory limit.*virtual:T4"):
        few(device="cpu")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"at_most": 0}, "at_most"),
        ({"capacity": 0}, "capacity"),
        ({"gradient_accumulation_steps": 0}, "gradient_accumulation_steps"),
        ({"no_such": 1}, "no_such"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named(settings: dict[str, Any], message: str) -> None:
    """Before anything runs."""
    with pytest.raises((ConfigError, UnknownNameError), match=message):
        few(**settings)


def test_a_size_without_a_unit_is_refused() -> None:
    """As everywhere."""
    with pytest.raises(UnitError):
        few(capacity="96")


@pytest.mark.parametrize("settings", [{"precision": "bf16"}, {"loss": torch.nn.functional.cross_entropy}])
def test_settings_of_fit_are_not_those_of_ones_own_loop(settings: dict[str, Any]) -> None:
    """There they lie in the step."""
    model = tiny()
    with pytest.raises(ConfigError, match=f"so {next(iter(settings))} cannot be set here"):
        lab.find_batch_size(
            model, torch.ones(4, 20), step=loss, optimizer=torch.optim.SGD(model.parameters()), **settings
        )
