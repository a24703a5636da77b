"""The largest micro-batch of a loop that is somebody else's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import bigmodel_lab as lab
from bigmodel_lab.api._own_batch_size import eager
from bigmodel_lab.errors import ConfigError
from bigmodel_lab.tips._found_batch_size import FoundBatchSize
from tests.api.broad import Broad, Searched, loss, masked_loss, numbers, picture
from tests.api.small import numbers as few_numbers
from tests.api.small import tiny

MIB = 2**20


def loader(made: torch.Generator) -> DataLoader[tuple[Tensor, ...]]:
    """Shuffles by random numbers of its own."""
    return DataLoader(TensorDataset(*numbers()), batch_size=32, shuffle=True, generator=made)


@pytest.fixture(scope="module", params=[loss, masked_loss], ids=["estimated", "probed"])
def searched(request: pytest.FixtureRequest) -> Searched:
    """In the middle of a training, with gradients that wait, in 160 MiB; with an estimate, and where none is possible."""
    model, made = Broad(), torch.Generator().manual_seed(5)
    optimizer = torch.optim.Adam(model.parameters())
    data = loader(made)
    loss(model, next(iter(data))).backward()
    optimizer.step()
    before = [picture(model, optimizer), made.get_state().tolist()]
    found = lab.find_batch_size(
        model, data, step=request.param, optimizer=optimizer, device="virtual:2GiB", capacity="160MiB"
    )
    return Searched(found, before, [picture(model, optimizer), made.get_state().tolist()])


def tiny_search(
    model: nn.Module | None = None, data: Any = None, step: Any = loss, make: Any = torch.optim.Adam, **given: Any
) -> FoundBatchSize:
    """For what does not depend on memory."""
    learner = tiny() if model is None else model
    arguments: dict[str, Any] = {"device": "virtual:2GiB", "at_most": 16, **given}
    arguments.setdefault("optimizer", make(learner.parameters()))
    return lab.find_batch_size(learner, few_numbers(32) if data is None else data, step=step, **arguments)


def runs_in(capacity_bytes: int, size: int) -> bool:
    """Two steps by hand on a card with so much memory."""
    x, y = numbers()
    index = torch.arange(size) % len(x)
    model = Broad()
    optimizer = torch.optim.Adam(model.parameters())
    gpu = lab.virtual_gpu("2GiB")
    gpu.set_memory_fraction(capacity_bytes / gpu.card.total_bytes)
    batch = x[index], y[index]
    try:
        with gpu:
            for _ in range(2):
                optimizer.zero_grad()
                loss(model, batch).backward()
                optimizer.step()
    except torch.OutOfMemoryError:
        return False
    return True


def test_no_trial_runs_out_of_memory(searched: Searched) -> None:
    """With an estimate or without."""
    assert searched.found.found.out_of_memory == 0


def test_the_answer_was_tried(searched: Searched) -> None:
    """Never a size that did not run."""
    assert searched.found.largest in {attempt.size for attempt in searched.found.attempts if attempt.ran}


def test_everything_is_as_before(searched: Searched) -> None:
    """Model, batch statistics, gradients, optimizer, random numbers, and the loader's own: to the bit."""
    assert searched.after == searched.before


def test_the_answer_runs_by_hand_and_a_larger_one_does_not(searched: Searched) -> None:
    """A tenth more where it was estimated; a line through coarse memory is careful, and leaves a fifth."""
    more = 1.1 if not searched.found.notes else 1.25

    assert runs_in(160 * MIB, searched.found.largest)
    assert not runs_in(160 * MIB, round(more * searched.found.largest))


def test_where_no_estimate_is_possible_the_reason_says_why(searched: Searched) -> None:
    """And probes look first."""
    probed = searched.found.attempts[0].kind == "probe"

    assert probed == ("No estimate was possible (TraceError" in searched.found.reason)


def test_a_loader_says_how_many_samples_there_are() -> None:
    """No more are tried."""
    data = DataLoader(TensorDataset(*few_numbers(32)), batch_size=8)

    assert tiny_search(data=data, at_most=None).largest == 32


def test_one_batch_is_enough() -> None:
    """Its samples are repeated."""
    assert tiny_search(data=few_numbers(4), at_most=50).largest == 50


def test_a_scaler_is_as_before() -> None:
    """Its scale, and how long it has held."""
    model, scaler = tiny(), torch.amp.GradScaler("cpu", growth_interval=2)
    scaler.scale(loss(model, few_numbers(8))).backward()
    before = scaler.state_dict()
    found = tiny_search(model, scaler=scaler)

    assert found.largest == 16
    assert scaler.state_dict() == before


def test_a_scaler_that_begins_too_high_is_waited_for() -> None:
    """Its first steps are skipped; the peak is that of a step with the optimizer's state."""
    model = tiny()
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**127)
    steps: list[int] = []

    def step(learner: nn.Module, batch: Any) -> Tensor:
        steps.append(1)
        return 1e3 * loss(learner, batch)

    found = tiny_search(model, step=step, scaler=scaler)

    assert found.largest == 16
    assert len(steps) > 4


def test_autocast_lies_in_the_step() -> None:
    """As in a loop of one's own."""

    def step(learner: nn.Module, batch: Any) -> Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return loss(learner, batch)

    assert tiny_search(step=step).largest == 16


def test_lbfgs_can_be_searched_for() -> None:
    """Though no estimate knows its line search."""
    assert tiny_search(make=torch.optim.LBFGS).largest == 16


def test_groups_of_parameters_keep_their_settings() -> None:
    """The estimate's copy has its own, and the optimizer the old ones."""
    model = tiny()
    groups = [{"params": [one], "lr": 0.1 * number} for number, one in enumerate(model.parameters())]
    optimizer = torch.optim.SGD(groups, momentum=0.9)
    tiny_search(model, optimizer=optimizer)

    assert [group["lr"] for group in optimizer.param_groups] == [group["lr"] for group in groups]
    assert len(optimizer.state) == 0


def test_accumulated_gradients_count() -> None:
    """A second pass runs beside those of the first."""
    model = nn.Linear(2000, 2000)
    data = torch.ones(4, 2000)

    def peak(steps: int) -> int:
        found = tiny_search(
            model, data, lambda m, b: m(b).sum(), torch.optim.SGD, gradient_accumulation_steps=steps, at_most=4
        )
        measured = found.attempts[-1].measured
        assert measured is not None
        return measured.peak_bytes

    assert peak(8) > peak(1)


def test_parts_in_evaluation_mode_stay_so_during_the_trials() -> None:
    """A person froze them."""
    model = tiny()
    model[1].eval()
    modes: list[bool] = []

    def step(learner: nn.Module, batch: Any) -> Tensor:
        if learner is model:  # and not the copy that an estimate traces
            modes.append(model[1].training)
        return loss(learner, batch)

    tiny_search(model, step=step)

    assert modes
    assert not any(modes)


def test_a_model_in_evaluation_mode_is_tried_in_training() -> None:
    """And is in evaluation mode afterwards."""
    model = tiny().eval()
    modes: list[bool] = []

    def step(learner: nn.Module, batch: Any) -> Tensor:
        modes.append(learner.training)
        return loss(learner, batch)

    tiny_search(model, step=step)

    assert all(modes)
    assert not model.training


def test_gradients_may_be_off_around_it() -> None:
    """As in a cell that evaluates."""
    with torch.no_grad():
        assert tiny_search().largest == 16


def test_an_error_of_the_step_leaves_nothing_behind() -> None:
    """It reaches the person, and everything is as before."""
    model = tiny()
    before = picture(model)

    def step(learner: nn.Module, batch: Any) -> Tensor:
        learner[0].weight.data.zero_()  # type: ignore[index, union-attr]
        raise KeyError("labels")

    with pytest.raises(KeyError, match="labels"):
        tiny_search(model, step=step)

    assert picture(model) == before


def test_a_virtual_gpu_in_use_is_the_card() -> None:
    """No device need be named, and nothing more lies on it afterwards."""
    model = tiny()
    with lab.virtual_gpu("2GiB") as gpu:
        gpu.adopt(model)
        held = gpu.allocated_bytes
        found = tiny_search(model, device=None)
        after = gpu.allocated_bytes

    assert found.largest == 16
    assert after == held


def test_a_cap_on_the_virtual_gpu_counts_and_stays() -> None:
    """The person has set it."""
    with lab.virtual_gpu("2GiB") as gpu:
        gpu.set_memory_fraction(0.25)
        found = tiny_search(device=None)

        assert found.capacity_bytes == 2**29
        assert gpu.memory_fraction == 0.25


def test_beside_other_people_a_gibibyte_stays_free() -> None:
    """Or 5 % of the card, where that is more."""
    with lab.virtual_gpu("8GiB"):
        alone = tiny_search(device=None).capacity_bytes
    with lab.virtual_gpu("8GiB", others="3GiB"):
        beside = tiny_search(device=None).capacity_bytes

    assert alone - beside == 4 * 2**30


def test_where_others_hold_nearly_all_nothing_is_tried() -> None:
    """The reason says why."""
    with lab.virtual_gpu("2GiB", others="1GiB"):
        found = tiny_search(device=None)

    assert found.attempts == ()
    assert found.reason.startswith("Nothing was tried: other processes hold so much")


def never(graph: Any, inputs: Sequence[Any]) -> Any:
    """A compiler that must not be asked."""
    raise AssertionError("it was compiled")


def test_of_a_compiled_model_the_eager_one_is_tried() -> None:
    """Nothing is compiled for that, and no weight gets another name."""
    model = tiny()
    compiled = torch.compile(model, backend=never)
    names = list(compiled.state_dict())
    found = tiny_search(compiled)

    assert found.largest == 16
    assert found.notes == ()
    assert list(compiled.state_dict()) == names


def test_a_part_that_is_compiled_runs_eagerly() -> None:
    """Nothing is compiled for the search."""
    model = tiny()
    model[0].compile(backend=never)

    assert tiny_search(model).largest == 16


def test_the_eager_model_is_what_was_compiled() -> None:
    """And any other is itself."""
    model = tiny()

    assert eager(torch.compile(model, backend=never)) is model
    assert eager(model) is model


def test_the_cpu_has_no_limit() -> None:
    """The error says how to simulate one."""
    with pytest.raises(ConfigError, match=r"cpu has no memory limit.*virtual:T4"):
        tiny_search(device=None)


def test_a_model_elsewhere_is_refused() -> None:
    """It would be moved away from its optimizer."""
    with pytest.raises(ConfigError, match=r"The model lies on meta, and device is 'virtual:2GiB'"):
        tiny_search(tiny().to("meta"))


@pytest.mark.parametrize("given", [{"step": None}, {"optimizer": "adam"}, {"optimizer": None}])
def test_a_loop_that_is_not_whole_is_refused(given: dict[str, Any]) -> None:
    """Step and optimizer belong together."""
    with pytest.raises(ConfigError, match=r"One's own loop needs model=nn.Module, step="):
        tiny_search(**given)


def test_a_documented_models_name_is_no_loop() -> None:
    """There is no module whose optimizer that could be."""
    with pytest.raises(ConfigError, match="model=str"):
        lab.find_batch_size("mlp", few_numbers(), step=loss, optimizer=torch.optim.SGD(tiny().parameters()))


def test_a_loop_without_data_is_refused() -> None:
    """Nothing could be tried."""
    model = tiny()
    with pytest.raises(ConfigError, match=r"data is None\. Give the DataLoader"):
        lab.find_batch_size(model, step=loss, optimizer=torch.optim.SGD(model.parameters()))
