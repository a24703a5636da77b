"""A simulated card under code that runs on the CPU: what it charges, when it is full, what it leaves alone."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import suppress
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional as F
from torch.nn.modules import module as hooks_of_modules
from torch.optim import optimizer as hooks_of_optimizers

import bigmodel_lab as lab
from bigmodel_lab._virtual_gpu._history import Asked, History
from bigmodel_lab._virtual_gpu.card import _stay_on_host, in_use_here
from bigmodel_lab.errors import ConfigError, UnitError, UnknownNameError
from bigmodel_lab.memory.cards import Card
from bigmodel_lab.memory.replay import replay
from bigmodel_lab.memory.requests import Category, RequestTrace
from bigmodel_lab.models import MODELS
from bigmodel_lab.trace import Prepared, Target, trace_steps

MIB = 2**20
WORKSPACE = 8_519_680
"""What cuBLAS takes on cards before Hopper, for each thread that multiplies matrices."""


def card_of(total: int, context: int = 0) -> Card:
    """A card of so many bytes, without a context unless asked for."""
    return Card.exact("test", total, (8, 0), context, "made up")


def mib(count: float) -> Tensor:
    """A tensor of so many MiB, of memory that is never touched."""
    return torch.empty(int(count * MIB), dtype=torch.uint8)


@pytest.fixture
def gpu() -> Iterator[lab.virtual_gpu]:
    """A roomy card in use."""
    with lab.virtual_gpu(card_of(1024 * MIB)) as made:
        yield made


# what is charged


def test_a_leak_in_a_list_grows(gpu):
    """Every tensor that is kept stays charged."""
    kept = []
    sizes = []
    for _ in range(4):
        kept.append(mib(2))
        sizes.append(gpu.allocated_bytes // MIB)
    assert sizes == [2, 4, 6, 8]


def test_a_kept_loss_keeps_its_graph(gpu):
    """The usual leak: the sum of losses grows by the activations of each step."""
    model, losses, sizes = nn.Linear(512, 512), [], []
    for _ in range(4):
        losses.append(model(torch.randn(512, 512)).relu().sum())
        sizes.append(gpu.allocated_bytes)
    growth = {after - before for before, after in pairwise(sizes[1:])}
    assert growth == {2 * MIB + 512}  # the input, the output of relu, and the loss itself


def test_what_is_freed_is_free_at_once(gpu):
    """Without waiting for anything; what was reserved stays."""
    one = mib(4)
    assert gpu.allocated_bytes == 4 * MIB

    del one
    assert (gpu.allocated_bytes, gpu.reserved_bytes) == (0, 20 * MIB)


def test_a_cycle_is_free_when_it_is_collected(gpu):
    """As on a card, where such tensors wait for the garbage collector too."""
    one: list[object] = [mib(4)]
    one.append(one)
    del one
    gc.collect()
    assert gpu.allocated_bytes == 0


def test_views_count_once(gpu):
    """And keep what they view."""
    whole = torch.zeros(1024, 1024)
    rows, turned, flat = whole[:10], whole.t(), whole.view(-1)
    assert gpu.allocated_bytes == 4 * MIB

    del whole, rows, turned
    assert gpu.allocated_bytes == 4 * MIB
    del flat
    assert gpu.allocated_bytes == 0


def test_sizes_are_rounded_as_the_allocator_rounds(gpu):
    """To 512 bytes."""
    kept = [torch.zeros(1), torch.zeros(129)]
    assert (len(kept), gpu.allocated_bytes) == (2, 512 + 1024)


def test_an_empty_tensor_takes_nothing(gpu):
    """CUDA's allocator is not asked."""
    assert (torch.empty(0).numel(), gpu.allocated_bytes) == (0, 0)


def test_a_tensor_in_place_takes_nothing_more(gpu):
    """Neither in place nor into an output that is there."""
    one, out = torch.zeros(MIB // 4), torch.empty(MIB // 4)
    one.add_(1)
    torch.add(one, one, out=out)
    assert gpu.peak_allocated_bytes == 2 * MIB


def test_a_resized_tensor_counts_in_its_new_size(gpu):
    """And while it is copied, in both."""
    one = mib(2)
    one.resize_(6 * MIB)
    assert (gpu.allocated_bytes, gpu.peak_allocated_bytes) == (6 * MIB, 8 * MIB)


def test_an_output_that_is_resized_counts_in_its_new_size(gpu):
    """As functions with out= do."""
    out = torch.empty(0)
    torch.add(torch.zeros(MIB // 4), 1, out=out)
    assert gpu.allocated_bytes == MIB


def test_a_storage_that_is_emptied_is_free(gpu):
    """As sharded training does with its parameters."""
    one = mib(2)
    one.untyped_storage().resize_(0)
    assert gpu.allocated_bytes == 0

    one.untyped_storage().resize_(4 * MIB)
    one.zero_()
    assert gpu.allocated_bytes == 4 * MIB


def test_older_tensors_are_charged_at_their_first_use():
    """Parameters and inputs that were made before."""
    model, batch = nn.Linear(512, 512, bias=False), torch.zeros(256, 512)
    with lab.virtual_gpu("T4") as gpu:
        assert gpu.allocated_bytes == 0
        model(batch)
        assert gpu.allocated_bytes == MIB + MIB // 2 + WORKSPACE
    kinds = [(one.category, one.bytes) for one in gpu.trace().allocations[:2]]
    assert sorted(kinds) == [("input", MIB // 2), ("parameter", MIB)]


def test_tensors_in_lists_and_keywords_are_seen():
    """Both ways in which operations take them."""
    parts, out = [mib(1), mib(1)], mib(2)
    with lab.virtual_gpu("T4") as gpu:
        torch.cat(parts, out=out)
        assert gpu.allocated_bytes == 4 * MIB


def test_the_tensors_of_python_numbers_stay_on_the_host(gpu):
    """As the counts of steps in optimizers."""
    assert (float(torch.tensor(3.0) + 1), gpu.stats()["allocation.all.allocated"]) == (4.0, 1)


def test_a_dropout_mask_is_one_byte_an_element(gpu):
    """CUDA keeps it as bytes, a CPU as numbers."""
    x = torch.ones(MIB, requires_grad=True)
    y = F.dropout(x, 0.5)
    assert (y.shape, gpu.allocated_bytes) == (x.shape, 4 * MIB + 4 * MIB + MIB)
    assert gpu.peak_allocated_bytes == 9 * MIB


def test_an_empty_tensor_like_another_is_no_mask(gpu):
    """It counts in full, whatever comes next."""
    x = torch.ones(MIB)
    kept = torch.empty_like(x)
    assert gpu.allocated_bytes == 8 * MIB

    more = torch.empty_like(x)
    x.add_(1)
    assert (kept.shape, more.shape, gpu.allocated_bytes) == (x.shape, x.shape, 12 * MIB)


def test_cublas_takes_its_workspace_once_a_thread(gpu):
    """The backward pass has a thread of its own on CUDA."""
    a = torch.ones(8, 8, requires_grad=True)
    product = (a @ a) @ a
    assert gpu.allocated_bytes // WORKSPACE == 1

    product.sum().backward()
    del product
    assert gpu.allocated_bytes == 2 * WORKSPACE + 2 * 512  # with the tensor and its gradient


def test_sparse_gradients_are_charged(gpu):
    """Their places and their values."""
    table = nn.Embedding(1000, 256, sparse=True)
    before = gpu.allocated_bytes
    table(torch.arange(256)).sum().backward()
    assert gpu.allocated_bytes - before >= 256 * 256 * 4 + 256 * 8


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors:UserWarning")
def test_nested_tensors_are_charged(gpu):
    """Though they have no single shape."""
    parts = [torch.ones(1000), torch.ones(3000)]
    before = gpu.allocated_bytes
    nested = torch.nested.as_nested_tensor(parts)
    assert (nested.is_nested, gpu.allocated_bytes - before >= 16_000) == (True, True)


@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support:UserWarning")
def test_compressed_sparse_tensors_are_charged(gpu):
    """Their places and their values."""
    sparse = torch.eye(1000).to_sparse_csr()
    values, places = 1000 * 4, 1000 * 8 + 1001 * 8
    gc.collect()
    assert (sparse.shape[0], gpu.allocated_bytes >= values + places) == (1000, True)


def test_other_devices_are_not_charged(gpu):
    """Such as meta."""
    torch.empty(MIB, device="meta").view(-1)
    assert gpu.peak_allocated_bytes == 0


def test_other_threads_are_not_charged(gpu):
    """The card belongs to the thread that entered it; what others free is seen."""
    kept: list[Tensor] = [mib(3)]
    thread = threading.Thread(target=lambda: (kept.clear(), kept.append(mib(5))))
    thread.start()
    thread.join()
    assert gpu.allocated_bytes == 0


def test_the_backward_pass_is_charged():
    """It runs on the thread that asked for it: gradients appear."""
    with lab.virtual_gpu("T4") as gpu:
        x = torch.ones(MIB // 4, requires_grad=True)
        x.mul(2).sum().backward()
        assert gpu.allocated_bytes == 2 * MIB


class Again(torch.autograd.Function):
    """Three sines whose results are not kept but computed again, as checkpointing does."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        """Without a graph."""
        ctx.save_for_backward(x)
        with torch.no_grad():
            return x.sin().sin().sin()

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:
        """With a graph of its own, inside the other one's backward pass."""
        (x,) = ctx.saved_tensors
        x = x.detach().requires_grad_()
        with torch.enable_grad():
            y = x.sin().sin().sin()
        return torch.autograd.grad(y, x, gradient)[0]


@pytest.mark.parametrize(("part", "kept"), [(lambda x: x.sin().sin().sin(), 4), (Again.apply, 2)])
def test_a_part_that_is_computed_again_keeps_nothing(part, kept):
    """Its activations show up in the backward pass, which runs on the thread that asked for it."""
    with lab.virtual_gpu("T4") as gpu:
        x = torch.ones(MIB // 4, requires_grad=True)
        y = part(x)
        assert gpu.allocated_bytes == kept * MIB

        y.sum().backward()
        assert gpu.peak_allocated_bytes > 5 * MIB


# the peak of a training step, worked out by hand


def test_the_peak_of_a_step_is_what_the_hand_calculates():
    """Two layers without bias under plain SGD: the peak lies where the first layer's gradient is made."""
    first, second = nn.Linear(512, 1024, bias=False), nn.Linear(1024, 512, bias=False)
    model = nn.Sequential(first, nn.ReLU(), second)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with lab.virtual_gpu("T4") as gpu:
        x = torch.ones(128, 512)
        loss = model(x).sum()
        loss.backward()
        optimizer.step()
    weights = 2 * 2 * MIB
    gradients = 2 * 2 * MIB
    batch, gradient_of_hidden = MIB // 4, MIB // 2
    scalars = 2 * 512  # the loss, and the one with which the backward pass begins
    assert gpu.peak_allocated_bytes == weights + gradients + batch + gradient_of_hidden + scalars + 2 * WORKSPACE


@pytest.mark.parametrize(("name", "shape"), [("simple_cnn", (8, 1, 28, 28)), ("mlp", (64, 1, 28, 28))])
def test_the_card_sees_what_the_estimate_traces(name, shape):
    """Both charge by the same rules: the same peaks, to the byte, allocated and reserved."""
    model, x = MODELS.get(name).create(seed=0), torch.zeros(shape)

    def prepare(model: nn.Module) -> Prepared:
        optimizer = torch.optim.AdamW(model.parameters())

        def step(x: Tensor) -> None:
            optimizer.zero_grad()
            model(x).square().mean().backward()
            optimizer.step()

        return Prepared(step, optimizer)

    traced = replay(trace_steps(model, x, prepare, target=Target((8, 0), WORKSPACE)))
    with lab.virtual_gpu("A100-80") as gpu:
        gpu.adopt(model, x)
        real = prepare(model)
        for _ in range(2):
            real.step(x)
    assert gpu.peak_allocated_bytes == traced.peak_allocated_bytes
    assert gpu.peak_reserved_bytes == traced.peak_reserved_bytes


def test_adamw_needs_the_temporaries_of_all_parameters_at_once():
    """As on CUDA, where it works on lists: 20 bytes a parameter."""
    model = nn.ParameterList([nn.Parameter(torch.zeros(MIB // 4)) for _ in range(4)])
    optimizer = torch.optim.AdamW(model.parameters())
    with lab.virtual_gpu("T4") as gpu:
        for parameter in model:
            parameter.grad = torch.ones_like(parameter)
        optimizer.step()
    assert gpu.peak_allocated_bytes == 5 * 4 * MIB
    assert optimizer.param_groups[0]["foreach"] is None  # left as the person had it


@pytest.mark.parametrize("options", [{"foreach": False}, {"fused": True}, {"lr": torch.tensor(0.1)}])
def test_an_optimizer_that_was_told_how_to_work_does_so(options):
    """Only one parameter's temporaries, or none."""
    parameters = [nn.Parameter(torch.zeros(MIB // 4)) for _ in range(4)]
    with lab.virtual_gpu("T4") as gpu:
        for parameter in parameters:
            parameter.grad = torch.ones_like(parameter)
        torch.optim.AdamW(parameters, **options).step()
    assert 4 * 4 * MIB <= gpu.peak_allocated_bytes < 5 * 4 * MIB


# a full card


def test_the_very_request_that_does_not_fit_is_refused():
    """Before its result is handed out; what was there stays."""
    with lab.virtual_gpu(card_of(64 * MIB)) as gpu:
        kept = [mib(20), mib(20)]
        with pytest.raises(torch.OutOfMemoryError):
            kept.append(mib(30))
        assert (len(kept), gpu.allocated_bytes, gpu.stats()["num_ooms"]) == (2, 40 * MIB, 1)


def test_the_error_speaks_as_cuda_does():
    """Numbers: the segment that was asked for, the card, what is free, used, allocated and cached."""
    with lab.virtual_gpu(card_of(100 * MIB, context=10 * MIB), others=5 * MIB) as gpu:
        kept = [mib(30), mib(2), mib(1)]
        kept.pop()
        with pytest.raises(torch.OutOfMemoryError) as caught:
            mib(40.5)
        assert gpu.reserved_bytes == 50 * MIB
    assert str(caught.value) == (
        "CUDA out of memory. Tried to allocate 42.00 MiB. GPU 0 has a total capacity of 100.00 MiB of which 35.00 MiB "
        "is free. Process 0 has 5.00 MiB memory in use. Including non-PyTorch memory, this process has 60.00 MiB "
        "memory in use. Of the allocated memory 32.00 MiB is allocated by PyTorch, and 18.00 MiB is reserved by "
        "PyTorch but unallocated. If reserved but unallocated memory is large try setting "
        "PYTORCH_ALLOC_CONF=expandable_segments:True to avoid fragmentation.  See documentation for Memory Management"
        "  (https://pytorch.org/docs/stable/notes/cuda.html#environment-variables) This card (test) is simulated by "
        "bigmodel_lab; the code ran on the CPU."
    )


def test_a_full_card_can_be_told_by_the_ways_that_are_usual():
    """By its class, by CUDA's name for it, and by its first words."""
    with lab.virtual_gpu(card_of(4 * MIB)), pytest.raises(RuntimeError, match=r"^CUDA out of memory\.") as caught:
        mib(5)
    assert isinstance(caught.value, torch.cuda.OutOfMemoryError)


def test_an_error_in_the_backward_pass_comes_out_as_it_is():
    """Through autograd's engine."""
    with lab.virtual_gpu(card_of(24 * MIB)):
        x = torch.ones(3 * MIB, requires_grad=True)
        loss = x[:10].sum()
        with pytest.raises(torch.OutOfMemoryError, match=r"^CUDA out of memory\."):
            loss.backward()


def test_training_goes_on_with_half_the_batch():
    """After the error memory is as before it, and the step fits."""
    with lab.virtual_gpu(card_of(44 * MIB)) as gpu:
        model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
        optimizer = torch.optim.Adam(model.parameters())

        def step(samples: int) -> None:
            optimizer.zero_grad()
            model(torch.randn(samples, 64)).sum().backward()
            optimizer.step()

        step(64)
        samples, sizes = 32 * 1024, []
        while len(sizes) < 3:
            with suppress(torch.OutOfMemoryError):
                step(samples)
                sizes.append(samples)
            samples = sizes[-1] if sizes else samples // 2
        assert sizes[0] < 32 * 1024
        assert len(set(sizes)) == 1
        optimizer.zero_grad()
        gpu.empty_cache()
        parameters = 64 * 64 + 64 + 64 * 10 + 10
        assert gpu.allocated_bytes < 2 * WORKSPACE + 3 * 4 * parameters + 10 * 512  # with Adam's two states


def test_memory_of_other_processes_and_the_context_are_not_to_be_had():
    """The card is smaller by both."""
    card = card_of(100 * MIB, context=20 * MIB)
    with lab.virtual_gpu(card, others="60MiB") as gpu:
        kept = mib(20)
        assert (len(kept), gpu.device_used_bytes, gpu.process_device_bytes) == (20 * MIB, 100 * MIB, 40 * MIB)
        with pytest.raises(torch.OutOfMemoryError):
            mib(1)


def test_cached_memory_is_given_back_before_a_request_fails():
    """A retry, as CUDA's allocator makes it."""
    with lab.virtual_gpu(card_of(64 * MIB)) as gpu:
        mib(40)
        kept = mib(50)
        assert (len(kept), gpu.reserved_bytes, gpu.stats()["num_alloc_retries"]) == (50 * MIB, 50 * MIB, 1)


def test_emptied_storages_make_room():
    """Also where no operation has shown that they were emptied."""
    with lab.virtual_gpu(card_of(64 * MIB)) as gpu:
        one = mib(40)
        one.untyped_storage().resize_(0)
        two = mib(40)
        assert (len(two), gpu.allocated_bytes) == (40 * MIB, 40 * MIB)


def test_the_settings_of_the_allocator_count():
    """What a cut block leaves over serves no other request with max_split_size."""
    sizes = []
    for conf in ("", "expandable_segments:True"):
        with lab.virtual_gpu(card_of(200 * MIB), alloc_conf=conf) as gpu:
            mib(30)
            kept = mib(50)
            sizes.append((len(kept), gpu.reserved_bytes // MIB))
    assert sizes == [(50 * MIB, 80), (50 * MIB, 60)]


# what is not the card's business


def test_what_the_host_makes_is_charged_when_it_is_used(gpu):
    """As data that is copied to the card."""
    with gpu.host():
        images = torch.zeros(MIB // 4)
        images += 1
    assert gpu.allocated_bytes == 0

    images + 1
    assert gpu.allocated_bytes == MIB


def test_batches_of_a_loader_can_stay_on_the_host(gpu):
    """Only the present one is charged, not the data set."""
    with gpu.host():
        data = torch.utils.data.TensorDataset(torch.zeros(64, MIB // 64))
    sizes = []
    for (batch,) in gpu.from_host(torch.utils.data.DataLoader(data, batch_size=16)):
        batch.sum()
        sizes.append(gpu.allocated_bytes)
        del batch
    assert sizes == [MIB] * 4


def test_a_forked_worker_has_no_card(gpu):
    """What it makes lies in main memory; the card of the parent is a copy that nobody sees."""
    _stay_on_host()  # what runs in the child after a fork
    kept = mib(2)
    assert (len(kept), gpu.allocated_bytes) == (2 * MIB, 0)


def test_a_fork_without_a_card_changes_nothing():
    """As in most programs."""
    _stay_on_host()
    with lab.virtual_gpu("T4") as gpu:
        kept = mib(2)
    assert (len(kept), gpu.allocated_bytes) == (2 * MIB, 2 * MIB)


def test_nothing_is_left_behind():
    """Neither modes nor hooks; a program without a card runs as ever."""
    model = nn.Linear(2, 2)
    with lab.virtual_gpu("T4") as gpu:
        gpu.adopt(model, torch.optim.Adam(model.parameters()))
        model(torch.ones(1, 2))
    mib(7)
    assert gpu.peak_allocated_bytes < 10 * MIB
    assert torch._C._len_torch_dispatch_stack() == 0
    assert not hooks_of_modules._global_forward_hooks
    assert not hooks_of_modules._global_forward_pre_hooks
    assert not hooks_of_optimizers._global_optimizer_pre_hooks
    assert not hooks_of_optimizers._global_optimizer_post_hooks
    assert not model._forward_hooks


def test_a_tensor_that_outlives_the_block_is_freed_on_the_card():
    """Readings after the block are those of now."""
    with lab.virtual_gpu("T4") as gpu:
        kept = mib(3)
    assert gpu.allocated_bytes == 3 * MIB
    del kept
    assert gpu.allocated_bytes == 0


def test_a_card_can_be_entered_again():
    """With what it holds."""
    gpu = lab.virtual_gpu("T4")
    kept = []
    for _ in range(2):
        with gpu:
            kept.append(mib(3))
    assert gpu.allocated_bytes == 6 * MIB


def test_a_second_card_is_refused():
    """The same as well; the first one goes on."""
    with lab.virtual_gpu("T4") as gpu:
        for second in (lab.virtual_gpu("2GiB"), gpu):
            with pytest.raises(ConfigError, match="T4 is in use in this thread"), second:
                pass
        kept = mib(3)
        assert (len(kept), gpu.allocated_bytes) == (3 * MIB, 3 * MIB)


def test_a_card_in_another_thread_is_refused(gpu):
    """A thread of its own needs a card of its own."""
    said: list[str] = []

    def enter() -> None:
        try:
            with gpu:
                pass
        except ConfigError as error:
            said.append(str(error))

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert "in use in another thread" in said[0]


def test_unknown_cards_and_sizes_are_refused():
    """With what is allowed."""
    with pytest.raises(UnknownNameError, match="T4"):
        lab.virtual_gpu("T44")
    with pytest.raises(UnitError, match="GiB"):
        lab.virtual_gpu("T4", others="3")
    with pytest.raises(ConfigError, match="max_split_size_mb"):
        lab.virtual_gpu("T4", alloc_conf="max_split:3")


# what it tells


def trained(steps: int = 2) -> lab.virtual_gpu:
    """A card on which an adopted model was trained."""
    model = nn.Sequential(nn.Linear(256, 512), nn.ReLU(), nn.BatchNorm1d(512), nn.Linear(512, 10))
    optimizer = torch.optim.Adam(model.parameters())
    with lab.virtual_gpu("T4") as gpu:
        gpu.adopt(model, optimizer)
        for _ in range(steps):
            optimizer.zero_grad()
            model(torch.randn(64, 256)).sum().backward()
            optimizer.step()
        return gpu


def test_the_trace_says_what_each_piece_is_for():
    """By category and module."""
    trace = trained().trace()
    named = {(one.category, one.module) for one in trace.allocations if one.shape == (512, 256)}
    assert named == {("parameter", "0"), ("gradient", "0"), ("optimizer_state", "0"), ("temporary", "")}
    assert ("activation", "1", "aten.relu") in {(one.category, one.module, one.maker) for one in trace.allocations}
    assert {one.category for one in trace.allocations if one.module == "2" and one.shape == (512,)} == {
        "parameter",  # buffers count as such
        "activation",
        "gradient",
        "optimizer_state",
    }


def test_the_trace_marks_the_phases_of_each_step():
    """Load, then forward, backward and optimizer by number."""
    marks = [(mark.phase, mark.step) for mark in trained().trace().marks]
    assert marks == [("load", -1)] + [(phase, n) for n in (0, 1) for phase in ("forward", "backward", "optimizer")]


def test_the_trace_is_labelled_simulated():
    """Its first note says so."""
    assert trained(0).trace().notes[0].startswith("Simulated")


def test_the_trace_agrees_with_the_card():
    """What is alive at its end is what is allocated."""
    gpu = trained()
    trace = gpu.trace()
    alive = set(range(len(trace.allocations))) - {number for kind, number in trace if kind == "free"}
    assert sum(-(-trace.allocations[number].bytes // 512) * 512 for number in alive) == gpu.allocated_bytes


def test_the_segments_name_the_owners_of_their_blocks():
    """By their number in the trace."""
    gpu = trained()
    allocations = gpu.trace().allocations
    blocks = [block for segment in gpu.segments() for block in segment.blocks if block.owner is not None]
    assert sum(block.bytes for block in blocks) == gpu.allocated_bytes
    assert all(allocations[block.owner].bytes == block.requested_bytes for block in blocks)


def test_the_statistics_have_torchs_names():
    """And agree with the properties."""
    gpu = trained()
    stats = gpu.stats()
    assert stats["allocated_bytes.all.peak"] == gpu.peak_allocated_bytes
    assert stats["reserved_bytes.all.current"] == gpu.reserved_bytes == gpu.peak_reserved_bytes


def test_a_card_says_in_one_line_that_it_is_simulated():
    """With its numbers."""
    with lab.virtual_gpu(card_of(64 * MIB, context=8 * MIB)) as gpu:
        kept = mib(3)
        assert len(kept)
        said = "<VirtualGpu test, simulated: 3 MiB allocated, 20 MiB reserved, 28 MiB of 64 MiB used>"
        assert repr(gpu) == said


def test_only_models_optimizers_and_tensors_are_adopted():
    """Also in lists and dicts; tensors count as inputs."""
    gpu = lab.virtual_gpu("T4")
    gpu.adopt([torch.zeros(10)], {"mask": torch.zeros(10)}, nn.Linear(1, 1))
    assert [one.category for one in gpu.trace().allocations] == ["input", "input", "parameter", "parameter"]
    with pytest.raises(ConfigError, match="not str"):
        gpu.adopt("model")


def test_what_is_adopted_twice_counts_once():
    """A model is known when its optimizer comes."""
    model = nn.Linear(1000, 1000, bias=False)
    gpu = lab.virtual_gpu("T4")
    gpu.adopt(model, model)
    assert gpu.allocated_bytes == 4_000_256


# tensors of another kind


class Doubled(Tensor):
    """A tensor that holds another one, as quantized and distributed ones do."""

    inner: Tensor

    @classmethod
    def of(cls, inner: Tensor) -> Doubled:
        """Around this one."""
        made = Tensor._make_wrapper_subclass(cls, inner.shape, dtype=inner.dtype)
        made.inner = inner
        return made

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        plain = [arg.inner if isinstance(arg, Doubled) else arg for arg in args]
        return Doubled.of(func(*plain, **(kwargs or {})))


def test_a_tensor_that_holds_another_is_charged_for_what_it_holds(gpu):
    """What it computes with counts."""
    one = Doubled.of(torch.ones(MIB // 4))
    two = one + 1
    assert (type(two), gpu.allocated_bytes) == (Doubled, 2 * MIB)


def test_stand_ins_are_not_charged(gpu):
    """They have no memory: an estimate can be made meanwhile."""
    with FakeTensorMode():
        assert torch.ones(MIB).mul(2).shape == (MIB,)
    assert gpu.peak_allocated_bytes == 0


# what is kept of a long program


def asked(size: int = 1, category: Category = "activation") -> Asked:
    """A request."""
    return Asked(size, category, "")


def test_a_long_history_keeps_its_latest_part():
    """What was alive at its beginning comes first."""
    history = History(most_entries=10)
    weight = history.born(asked(1000, "parameter"))
    for _ in range(50):
        history.died(history.born(asked()))
    latest = history.born(asked(7))
    trace = history.trace()
    assert len(trace.sequence) <= 11
    assert [trace.allocations[number].bytes for number in (0, -1)] == [1000, 7]
    assert (history.places()[weight], history.places()[latest]) == (0, len(trace.allocations) - 1)
    assert "latest 10" in trace.notes[1]


@given(st.lists(st.booleans(), max_size=60), st.integers(3, 9))
def test_a_history_that_was_cut_tells_the_same_end(births: list[bool], most: int):
    """Alive at the end is what would be without the cut, and nothing dies before it is born."""
    cut, whole, alive = History(most_entries=most), History(), []
    for number, is_birth in enumerate(births):
        if is_birth or not alive:
            alive.append(cut.born(asked(number + 1)))
            whole.born(asked(number + 1))
        else:
            cut.died(alive[0])
            whole.died(alive.pop(0))

    def survivors(trace: RequestTrace) -> list[int]:
        left: list[int] = []
        for kind, number in trace:
            left.append(number) if kind == "alloc" else left.remove(number)
        return [trace.allocations[number].bytes for number in left]

    assert survivors(cut.trace()) == survivors(whole.trace())


def test_the_phase_at_the_cut_is_still_known():
    """What lay before it counts as loaded."""
    history = History(most_entries=6)
    history.mark("forward", 0)
    kept = [history.born(asked()) for _ in range(4)]
    history.mark("backward", 0)
    kept += [history.born(asked()) for _ in range(3)]
    marks = [(mark.position, mark.phase, mark.step) for mark in history.trace().marks]
    assert (len(kept), marks) == (7, [(0, "load", -1), (3, "forward", 0), (4, "backward", 0)])


def test_workspaces_can_be_given_back(gpu):
    """And the next product makes them anew."""
    a = torch.ones(8, 8)
    product = a @ a
    gpu.clear_workspaces()
    without = gpu.allocated_bytes
    product = a @ a

    assert product.shape == (8, 8)
    assert (without, gpu.allocated_bytes) == (2 * 512, 2 * 512 + WORKSPACE)


def test_workspaces_given_back_are_gone_from_the_trace(gpu):
    """Nothing of them is alive at its end."""
    product = torch.ones(8, 8) @ torch.ones(8, 8)
    gpu.clear_workspaces()
    trace = gpu.trace()
    alive = {number for number in trace.sequence if number >= 0} - {~number for number in trace.sequence if number < 0}

    assert product.shape == (8, 8)
    assert sum(trace.allocations[number].bytes for number in alive) == product.nbytes


def test_the_card_in_use_is_known():
    """Inside its block, in its thread."""
    gpu = lab.virtual_gpu("2GiB")
    with gpu:
        inside = in_use_here()

    assert inside is gpu
    assert in_use_here() is None


def test_the_share_of_the_card_is_the_one_that_was_set_last():
    """By its settings, or later."""
    gpu = lab.virtual_gpu("2GiB", alloc_conf="per_process_memory_fraction:0.5")
    before = gpu.memory_fraction
    gpu.set_memory_fraction(0.25)

    assert (before, gpu.memory_fraction) == (0.5, 0.25)


def test_what_another_device_multiplies_takes_no_workspace_here(gpu):
    """A real card beside the simulated one has workspaces of its own; the meta device stands for it."""
    elsewhere = torch.empty(8, 8, device="meta")
    _ = elsewhere @ elsewhere

    assert gpu.allocated_bytes == 0
