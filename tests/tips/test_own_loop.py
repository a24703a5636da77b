"""A loop that is not ours, looked at from outside in its first turns."""

from __future__ import annotations

import copy
import pickle
from collections import UserDict
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from bigmodel_lab.tips._facts import LoaderFacts, LoopFacts
from bigmodel_lab.tips._own_loop import LoopWatcher, loader_facts

Turn = Callable[[nn.Module, torch.optim.Optimizer, Tensor, int], None]


@pytest.fixture
def model() -> nn.Module:
    """Six samples in, two numbers out."""
    return nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 2))


def watched(model: nn.Module, turn: Turn, turns: int = 12) -> LoopFacts:
    """What is known after a training whose turns are these."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    watcher = LoopWatcher(model, optimizer)
    for number in range(turns):
        turn(model, optimizer, torch.ones(8, 6), number)
        if watcher.has_turned(torch.ones(8, 6), 8):
            break
    watcher.close()
    return watcher.facts()


def ordinary(model: nn.Module, optimizer: torch.optim.Optimizer, batch: Tensor, _number: int) -> None:
    """As in most loops."""
    optimizer.zero_grad()
    model(batch).sum().backward()
    optimizer.step()


def zeroing(model: nn.Module, optimizer: torch.optim.Optimizer, batch: Tensor, _number: int) -> None:
    """As before torch 2.0."""
    optimizer.zero_grad(set_to_none=False)
    model(batch).sum().backward()
    optimizer.step()


def accumulating(model: nn.Module, optimizer: torch.optim.Optimizer, batch: Tensor, number: int) -> None:
    """Three batches a step."""
    (model(batch).sum() / 3).backward()
    if number % 3 == 2:
        optimizer.step()
        optimizer.zero_grad()


def casting(model: nn.Module, optimizer: torch.optim.Optimizer, batch: Tensor, number: int) -> None:
    """In bf16."""
    with torch.autocast("cpu", dtype=torch.bfloat16):
        ordinary(model, optimizer, batch, number)


def test_dropped_gradients_are_seen(model: nn.Module) -> None:
    """A new tensor at each step: nothing was kept."""
    assert watched(model, ordinary).keeps_gradients is False


def test_kept_gradients_are_seen(model: nn.Module) -> None:
    """The same tensor at each step, filled with zeros between."""
    assert watched(model, zeroing).keeps_gradients is True


def test_gradients_dropped_after_accumulation_are_not_kept(model: nn.Module) -> None:
    """Between two steps of the optimizer they are gone."""
    assert watched(model, accumulating).keeps_gradients is False


def test_looking_does_not_keep_gradients_alive(model: nn.Module) -> None:
    """Once the loop has dropped them, nobody else holds them."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    watcher = LoopWatcher(model, optimizer)
    ordinary(model, optimizer, torch.ones(8, 6), 0)
    gradient = watcher._updates._gradient
    optimizer.zero_grad()

    assert gradient is not None
    assert gradient() is None
    watcher.close()


@pytest.mark.parametrize(("turn", "steps"), [(ordinary, 1), (accumulating, 3)])
def test_the_batches_of_a_step_are_counted(model: nn.Module, turn: Turn, steps: int) -> None:
    """Turns between one step of the optimizer and the next."""
    assert watched(model, turn).gradient_accumulation_steps == steps


@pytest.mark.parametrize(("turn", "precision"), [(ordinary, "fp32"), (casting, "bf16")])
def test_the_precision_is_that_of_the_forward_pass(model: nn.Module, turn: Turn, precision: str) -> None:
    """Autocast is seen where it is in force."""
    assert watched(model, turn).precision == precision


def test_weights_of_another_format_have_no_name(model: nn.Module) -> None:
    """It is none of the four ways in which a run computes here."""
    watcher = LoopWatcher(model.to(torch.float64), None)
    model(torch.ones(2, 6, dtype=torch.float64))

    assert watcher.facts().precision is None
    watcher.close()


def test_a_trained_model_is_trained(model: nn.Module) -> None:
    """Also where nobody said with which optimizer, and gradients are gone at the end of each turn."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    watcher = LoopWatcher(model, None)
    for number in range(3):
        accumulating(model, optimizer, torch.ones(8, 6), number)
        watcher.has_turned(torch.ones(8, 6), 8)

    assert watcher.facts().mode == "train"
    watcher.close()


@pytest.mark.parametrize("keeps", [True, False])
def test_a_model_that_only_answers_is_not_trained(model: nn.Module, *, keeps: bool) -> None:
    """Weights stay, no gradients come; whether outputs need them is seen."""
    watcher = LoopWatcher(model, None)
    for _ in range(6):
        with torch.set_grad_enabled(keeps):
            model(torch.ones(8, 6))
        done = watcher.has_turned(torch.ones(8, 6), 8)

    assert done
    assert (watcher.facts().mode, watcher.facts().keeps_graph) == ("inference", keeps)
    watcher.close()


def test_a_copy_of_the_model_is_not_looked_at(model: nn.Module) -> None:
    """The hook of a copy, also one that went through a file, does nothing."""
    watcher = LoopWatcher(model, None)
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        other(torch.ones(2, 6))

    assert watcher.facts().precision is None
    watcher.close()


def test_hooks_go_when_it_is_over(model: nn.Module) -> None:
    """Model and optimizer are as before."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    watcher = LoopWatcher(model, optimizer)
    model(torch.ones(2, 6))
    watcher.close()

    assert not model._forward_hooks
    assert not optimizer._optimizer_step_post_hooks


def test_a_loader_tells_how_it_loads() -> None:
    """Workers and pinned memory are read off it, the size of all data off the first batch."""
    data = TensorDataset(torch.zeros(100, 6), torch.zeros(100, dtype=torch.long))
    loader = DataLoader(data, batch_size=10, num_workers=0, pin_memory=False)
    watcher = LoopWatcher(None, None)
    watcher.takes(loader)
    watcher.has_turned(next(iter(loader)), 10)

    assert watcher.facts().loader == LoaderFacts(0, False, False, 100 * (6 * 4 + 8))


def test_a_stream_has_no_size() -> None:
    """Nobody knows how much will come."""

    class Endless(torch.utils.data.IterableDataset[Tensor]):
        def __iter__(self) -> Iterator[Tensor]:
            while True:
                yield torch.zeros(6)

    watcher = LoopWatcher(None, None)
    watcher.takes(DataLoader(Endless(), batch_size=4))
    watcher.has_turned(torch.zeros(4, 6), 4)

    loader = watcher.facts().loader
    assert loader is not None
    assert loader.data_bytes is None


def test_a_list_is_no_loader() -> None:
    """It has no workers, so there is nothing to say about them."""
    assert loader_facts([torch.zeros(2)]) is None


def test_a_batch_without_tensors_tells_nothing() -> None:
    """Any object may be a batch."""
    watcher = LoopWatcher(None, None)
    watcher.has_turned(["a", "b"], None)

    assert watcher.facts().micro_batch_size is None


def test_facts_go_through_json() -> None:
    """As the header of a run keeps them."""
    facts = LoopFacts("lightning", "train", LoaderFacts(2, True), None, 8, 4, "bf16", False, None)

    assert LoopFacts.from_json(facts.as_json()) == facts


def test_facts_of_another_version_are_left_out() -> None:
    """A newer library may write more."""
    assert LoopFacts.from_json({"framework": "plain", "colour": "red"}) == LoopFacts()


def test_an_optimizer_of_another_library_is_left_alone(model: nn.Module) -> None:
    """It need not be one of torch: its steps are not counted."""

    class Foreign:
        """Has a step, and is no ``torch.optim.Optimizer``."""

    watcher = LoopWatcher(model, Foreign())  # type: ignore[arg-type]
    done = [watcher.has_turned(torch.ones(8, 6), 8) for _ in range(6)]

    assert done[-1]
    assert watcher.facts().gradient_accumulation_steps is None
    watcher.close()


def test_batches_of_transformers_have_a_size() -> None:
    """Its collators give a ``UserDict``."""
    watcher = LoopWatcher(None, None)
    watcher.takes(DataLoader(TensorDataset(torch.zeros(40, 6))))
    watcher.has_turned(UserDict(input_ids=torch.zeros(4, 6)), 4)

    loader = watcher.facts().loader
    assert loader is not None
    assert loader.data_bytes == 40 * 6 * 4


def test_a_model_that_is_compiled_meanwhile_is_compiled_once(model: nn.Module) -> None:
    """Looking neither breaks its graph nor has it compiled again when it is over."""
    graphs = []

    def backend(graph: torch.fx.GraphModule, _inputs: object) -> Callable[..., object]:
        graphs.append(graph)
        return graph.forward

    torch._dynamo.reset()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    watcher = LoopWatcher(model, optimizer)
    compiled = torch.compile(model, backend=backend)
    for number in range(8):
        ordinary(compiled, optimizer, torch.ones(8, 6), number)
        if watcher.has_turned(torch.ones(8, 6), 8):
            watcher.close()

    assert len(graphs) == 1
