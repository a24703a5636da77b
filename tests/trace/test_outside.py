"""What a step reaches beside the model and the batch."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.prune import l1_unstructured

from bigmodel_lab.memory.requests import RequestTrace
from bigmodel_lab.trace import Prepared, trace_steps
from tests.trace.reading import alive_bytes

MIB = 2**20
X = torch.zeros(8, 16)
MATRIX = torch.zeros(MIB // 4, 2)
"""2 MiB, more than is computed with for real."""
TEACHER = nn.Sequential(nn.Linear(16, 64), nn.BatchNorm1d(64))
TEACHER_BYTES = 4 * (16 * 64 + 64 + 4 * 64) + 8
HISTORY: list[Tensor] = []


def stepped(step: Callable[[nn.Module, Any], Any], model: nn.Module | None = None, batch: Any = X) -> RequestTrace:
    """Two steps of the user's own, each with its backward pass where it gives a loss."""

    def prepare(model: nn.Module, own: Callable[[nn.Module, Any], Any]) -> Prepared:
        def run(inputs: Any) -> None:
            loss = own(model, inputs)
            if isinstance(loss, Tensor) and loss.requires_grad:
                loss.backward()  # type: ignore[no-untyped-call]

        return Prepared(run)

    return trace_steps(model or nn.Linear(16, 4), batch, prepare, program=step)


def loaded(trace: RequestTrace) -> int:
    """Bytes on the card before the first operation, without those of model and batch."""
    begins = trace.marks[1].position if len(trace.marks) > 1 else len(trace.sequence)
    return alive_bytes(trace, begins) - 4 * (16 * 4 + 4) - 512


class Holder:
    """An object of the user's own."""

    def __init__(self) -> None:
        self.teacher, self.matrix, self.steps = nn.Linear(16, 64), MATRIX, 0

    def step(self, model: nn.Module, x: Tensor) -> Tensor:
        """A loss."""
        self.steps += 1
        self.last = self.teacher(x)
        loss: Tensor = model(x).sum() + self.last.sum()
        return loss


class Student(nn.Module):
    """Names a global module in its forward pass."""

    def forward(self, x: Tensor) -> Tensor:
        """Through the teacher."""
        out: Tensor = TEACHER(x)
        return out


def by_closure() -> Callable[[nn.Module, Tensor], Tensor]:
    """A teacher that only the step knows."""
    teacher = TEACHER
    return lambda model, x: model(x).sum() + teacher(x).sum()


def by_a_function(x: Tensor) -> Tensor:
    """A function that the step calls."""
    out: Tensor = TEACHER(x).sum()
    return out


@pytest.mark.parametrize(
    "step",
    [
        by_closure(),
        lambda model, x: model(x).sum() + TEACHER(x).sum(),
        lambda model, x: model(x).sum() + by_a_function(x),
        lambda model, x, teacher=TEACHER: model(x).sum() + teacher(x).sum(),
        lambda model, x, nets={"teacher": [TEACHER]}: model(x).sum() + nets["teacher"][0](x).sum(),
    ],
)
def test_a_module_that_the_step_names_is_loaded_and_left_alone(step: Callable[[nn.Module, Any], Tensor]) -> None:
    """However it names it: weights and running statistics count, none of them changes."""
    before = {name: value.clone() for name, value in TEACHER.state_dict().items()}

    assert loaded(stepped(step)) == TEACHER_BYTES
    assert all(torch.equal(value, before[name]) for name, value in TEACHER.state_dict().items())
    assert all(p.grad is None and type(p) is nn.Parameter for p in TEACHER.parameters())


def test_its_operations_carry_its_name() -> None:
    """As the step calls it."""
    trace = stepped(lambda model, x: model(x).sum() + TEACHER(x).sum())

    assert {"TEACHER.0", "TEACHER.1"} <= {a.module for a in trace.allocations}


def test_a_module_that_a_forward_pass_names_is_loaded() -> None:
    """A method of the user's class reaches it."""
    trace = stepped(lambda model, x: model(x).sum(), model=nn.Sequential(nn.Linear(16, 16), Student()))

    assert alive_bytes(trace, trace.marks[1].position) == TEACHER_BYTES + 4 * (16 * 16 + 16) + 512


def test_an_object_of_the_users_own_is_followed_and_left_alone() -> None:
    """A bound method as the step."""
    holder = Holder()

    assert loaded(stepped(holder.step)) == 4 * (16 * 64 + 64)
    assert vars(holder).keys() == {"teacher", "matrix", "steps"}
    assert holder.steps == 0


def test_a_step_that_names_the_model_itself_counts_it_once() -> None:
    """The argument and the name mean the same."""
    model = nn.Linear(16, 4)

    assert loaded(stepped(lambda _, x: model(x).sum(), model=model)) == 0
    assert model.weight.grad is None


@pytest.mark.parametrize(
    "step",
    [
        lambda model, x: (x.sum() * MATRIX).sum(),
        lambda model, x: torch.mul(MATRIX, x.sum()),
        lambda model, x: MATRIX.add_(x.sum()),
        lambda model, x: torch.cat([MATRIX, x[:, :2]]),
        lambda model, x: MATRIX[:4] + x.sum(),
        lambda model, x: MATRIX.exp(),
    ],
)
def test_a_tensor_that_meets_the_cards_has_been_there(step: Callable[[nn.Module, Any], Any]) -> None:
    """Since loading, with its whole storage, and once however many steps use it; the real one is not written to."""
    trace = stepped(step)

    assert loaded(trace) == 2 * MIB
    assert not MATRIX.any()
    assert any("belong neither to a model nor to the batch" in note for note in trace.notes)


@pytest.mark.parametrize(
    "step",
    [
        lambda model, x: MATRIX.to("cuda").sum() + model(x).sum(),
        lambda model, x: MATRIX.cuda(),
        lambda model, x: x.new_zeros(MATRIX.shape).copy_(MATRIX),
        lambda model, x: MATRIX[:8].to(x.device) + x[:, :2],
        lambda model, x: torch.from_numpy(np.zeros(8, np.float32)).to(x.device) + x[:, 0],
        lambda model, x: len(MATRIX) + MATRIX.shape[0] + MATRIX.dim(),
        lambda model, x: MATRIX[3, 1].item(),
    ],
)
def test_what_is_moved_or_only_looked_at_was_on_the_host(step: Callable[[nn.Module, Any], Any]) -> None:
    """A stand-in is born at the move."""
    trace = stepped(step)

    assert loaded(trace) == 0
    assert trace.notes == ()


def test_what_was_learned_lies_on_the_card_though_nobody_uses_it() -> None:
    """Outputs with their graph that a list keeps from steps before."""
    kept = [torch.ones(MIB // 4, requires_grad=True) * 2]

    assert loaded(stepped(lambda model, x: kept and model(x).sum())) == MIB


def test_views_of_one_storage_are_one_tensor_of_the_card() -> None:
    """Also views of a weight by another name."""
    model = nn.Linear(16, 4)
    view = model.weight.detach()
    whole = torch.zeros(64, 16)

    assert loaded(stepped(lambda model, x: F.linear(x, view).sum(), model=model)) == 0
    assert loaded(stepped(lambda model, x: x + whole[:8] + whole[8:16])) == 4 * 64 * 16


def test_small_tensors_keep_their_values_until_they_meet_the_cards() -> None:
    """A number that the program reads of its own constants is known."""
    sizes = torch.tensor([3, 5])
    trace = stepped(lambda model, x: model(x).split(sizes.tolist()))

    assert trace.notes == ()


def test_counters_of_the_user_do_not_count_on() -> None:
    """Tensors with data that the step changes in place are copied before; the copy remembers."""
    count = torch.tensor(0)
    table = torch.zeros(4)

    def step(_: nn.Module, __: Tensor) -> None:
        count.add_(1)
        table[0] += 1
        assert int(count) == table[0]

    stepped(step)

    assert (int(count), float(table[0])) == (0, 0.0)


def test_averages_of_weights_in_a_list_stay() -> None:
    """An average by hand: each tensor counts, none changes."""
    shadow = [torch.zeros(4, 16), torch.zeros(4)]

    def step(model: nn.Module, x: Tensor) -> Tensor:
        for own, weight in zip(shadow, model.parameters(), strict=True):
            own.mul_(0.9).add_(weight.detach(), alpha=0.1)
        loss: Tensor = model(x).sum()
        return loss

    assert loaded(stepped(step)) == 4 * (16 * 4 + 4)
    assert not any(own.any() for own in shadow)


def test_outputs_that_a_step_keeps_are_growth() -> None:
    """They are alive after each step, the note says how much, and the user's list is as before."""
    trace = stepped(lambda model, x: HISTORY.append(model(x).repeat(100, 1)))

    assert any("Each step keeps 12.5 KiB more" in note for note in trace.notes)
    assert alive_bytes(trace, len(trace.sequence)) >= 2 * 8 * 4 * 4 * 100
    assert HISTORY == []


def test_a_list_of_losses_is_not_worth_a_word() -> None:
    """Four bytes a step."""
    assert stepped(lambda model, x: HISTORY.append(model(x).sum().detach())).notes == ()


def test_a_weight_that_no_name_leads_to_keeps_its_gradient() -> None:
    """A function of autograd takes it past everything; torch gave it a stand-in as its gradient."""

    class Double(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
            """A product."""
            ctx.save_for_backward(x, weight)
            return x @ weight.t()

        @staticmethod
        def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
            """Of both."""
            x, weight = ctx.saved_tensors
            return gradients[0] @ weight, gradients[0].t() @ x

    class Registry:
        net = nn.Linear(16, 4)

    stepped(lambda model, x: Double.apply(x, Registry.net.weight).sum())  # type: ignore[no-untyped-call]

    assert Registry.net.weight.grad is None


@pytest.mark.parametrize(
    ("outside", "values"),
    [
        (torch.eye(1024).to_sparse(), 1024 * (4 + 2 * 8)),
        (torch.nested.nested_tensor([torch.zeros(n, 16) for n in (40, 90)], layout=torch.jagged), 130 * 16 * 4),
    ],
)
def test_sparse_and_nested_tensors_count_by_what_they_are_made_of(outside: Tensor, values: int) -> None:
    """Places and values; the rows of all samples. The tensor itself stays as it is."""
    kind = type(outside)
    trace = stepped(lambda model, x: model(x).sum() + (outside * 2).sum())

    assert loaded(trace) == values
    assert (type(outside), outside.requires_grad) == (kind, False)


def test_a_tensor_of_the_batch_that_stays_on_the_host_is_read_and_left_alone() -> None:
    """Beside one of the meta device it has values; the step gets them in memory of its own."""
    lengths, seen = torch.tensor([3, 5]), list[Any]()

    def step(model: nn.Module, batch: Any) -> Tensor:
        batch[1][0] += 1
        seen.append(batch[1].tolist())
        loss: Tensor = model(batch[0][: int(batch[1].max())]).sum()
        return loss

    trace = trace_steps(
        nn.Linear(16, 4), (X.to("meta"), lengths), lambda model: Prepared(lambda batch: step(model, batch)), steps=1
    )

    assert seen == [[4, 5]]
    assert lengths.tolist() == [3, 5]
    assert (5, 4) in {a.shape for a in trace.allocations}


def old_weight_norm() -> nn.Module:
    """Keeps the weight that it computes as an attribute."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return nn.utils.weight_norm(nn.Linear(16, 64, bias=False))


def pruned() -> nn.Module:
    """Keeps the product of weight and mask."""
    return l1_unstructured(nn.Linear(16, 64, bias=False), "weight", 0.5)


@pytest.mark.parametrize(("made", "expected"), [(old_weight_norm, 16 * 64 + 64), (pruned, 2 * 16 * 64)])
def test_a_weight_that_is_computed_anew_before_use_was_not_on_the_card(
    made: Callable[[], nn.Module], expected: int
) -> None:
    """Only what it is computed from is loaded; the old result stays on the host."""
    trace = stepped(lambda model, x: model(x).sum(), model=made())

    assert alive_bytes(trace, trace.marks[1].position) == 4 * expected + 512


def test_tensors_inside_torch_func_are_those_of_the_card() -> None:
    """``vmap`` and ``grad`` wrap them, and a wrapper has no memory of its own."""

    def step(model: nn.Module, x: Tensor) -> Tensor:
        torch.func.vmap(torch.func.grad(lambda row: model(row).square().sum()))(x)
        loss: Tensor = torch.func.vmap(lambda row: model(row).sum())(x).mean()
        return loss

    assert loaded(stepped(step)) == 0
