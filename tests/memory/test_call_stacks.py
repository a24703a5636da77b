"""What a recorded call stack tells."""

from __future__ import annotations

import pytest

from bigmodel_lab.memory._call_stacks import maker_of, told_by
from bigmodel_lab.memory.categories import UNKNOWN
from tests.memory.snapshots import frames_of

OPTIMIZER = frames_of("/v/torch/optim/adam.py:step")
STATE = frames_of("/v/torch/optim/adam.py:_init_group", "/v/torch/optim/adam.py:step")
BACKWARD = frames_of("/v/torch/autograd/graph.py:_engine_run_backward", "/v/torch/_tensor.py:backward")
OWN_BACKWARD = frames_of("/home/me/model.py:backward")
LAYER = frames_of("/v/torch/nn/functional.py:linear", "/v/torch/nn/modules/module.py:_call_impl")
LOSS = frames_of("/v/torch/nn/functional.py:cross_entropy")
CLIPPING = frames_of("/v/torch/nn/utils/clip_grad.py:clip_grad_norm_")


def compiled(*names):
    """Frames of C++, innermost first."""
    return [{"filename": "??", "line": 0, "name": name} for name in names]


ENGINE = compiled(
    "at::_ops::mm::call(at::Tensor const&, at::Tensor const&)",
    "torch::autograd::generated::MmBackward0_apply_functional(std::vector<at::Tensor>&&)",
    "torch::autograd::generated::MmBackward0::apply(std::vector<at::Tensor>&&)",
    "torch::autograd::Node::operator()(std::vector<at::Tensor>&&)",
    "torch::autograd::Engine::evaluate_function(std::shared_ptr<torch::autograd::GraphTask>&)",
    "torch::autograd::Engine::thread_main(std::shared_ptr<torch::autograd::GraphTask> const&)",
)
WORKSPACE = compiled("at::cuda::getNewWorkspace()", "at::cuda::getCurrentCUDABlasHandle(bool)")


def category_of(frames, *, outlives):
    """What memory was for."""
    return told_by(frames).category(outlives=outlives)


@pytest.mark.parametrize(
    ("frames", "kept", "given_back"),
    [
        (OPTIMIZER, "optimizer_state", "temporary"),
        (STATE, "optimizer_state", "optimizer_state"),
        (BACKWARD, "gradient", "temporary"),
        (ENGINE, "gradient", "temporary"),
        (LAYER, "activation", "activation"),
        (LOSS, "activation", "activation"),
        (CLIPPING, UNKNOWN, "temporary"),
        (frames_of("/v/torch/utils/data/dataloader.py:__next__"), "input", "input"),
        (WORKSPACE + LAYER, "temporary", "temporary"),
        (OWN_BACKWARD, UNKNOWN, UNKNOWN),
        (frames_of("/home/me/torch/optimize.py:step"), UNKNOWN, UNKNOWN),
        (compiled("my::Engine::run()"), UNKNOWN, UNKNOWN),
        ([], UNKNOWN, UNKNOWN),
    ],
)
def test_parts_of_pytorch_tell_the_category(frames, kept, given_back):
    """The optimizer, the backward pass and modules are known; a function of one's own with such a name is not."""
    assert category_of(frames, outlives=True) == kept
    assert category_of(frames, outlives=False) == given_back


@pytest.mark.parametrize("frames", [ENGINE, OPTIMIZER])
def test_a_pass_that_never_ended_does_not_tell_what_is_kept(frames):
    """Out of memory in the middle of the backward pass: gradients and what it needs for a moment look the same."""
    assert category_of(frames, outlives=None) == UNKNOWN


def test_a_module_that_runs_again_in_the_backward_pass_makes_activations():
    """Checkpointing: the innermost part counts, and the phase is still the backward pass."""
    told = told_by(LAYER[:-1] + frames_of("/v/torch/utils/checkpoint.py:recompute")[:-1] + ENGINE)

    assert told.category(outlives=False) == "activation"
    assert told.phase == "backward"


def test_a_backward_of_one_s_own_is_called_by_autograd_alone():
    """Where nothing calls torch/autograd/function.py, the engine does; in the forward pass a line of the script does."""
    called = frames_of("/home/me/f.py:backward", "/v/torch/autograd/function.py:apply")

    assert category_of(called[:-1], outlives=False) == "temporary"
    assert category_of(called, outlives=False) == UNKNOWN


def test_a_function_called_by_a_backward_belongs_to_it():
    """torch.nn.functional is no sign of the forward pass below the engine."""
    assert category_of(LOSS[:-1] + ENGINE, outlives=False) == "temporary"


@pytest.mark.parametrize("method", ["to", "cuda", "_apply", "to_empty", "_load_from_state_dict", "__init__"])
def test_building_and_moving_a_module_makes_parameters(method):
    """What a module asks for while it is built, moves or loads is its weights."""
    assert category_of(frames_of(f"/v/torch/nn/modules/module.py:{method}"), outlives=True) == "parameter"


def test_the_optimizer_counts_before_the_module():
    """A step of the optimizer within a module's call is the optimizer's."""
    assert category_of(OPTIMIZER + LAYER, outlives=True) == "optimizer_state"


def test_a_step_that_computes_the_loss_itself_is_still_a_forward_pass():
    """The closure of L-BFGS calls the model within the optimizer's step."""
    assert category_of(LAYER[:-1] + OPTIMIZER, outlives=False) == "activation"


def test_the_node_of_the_backward_pass_is_the_maker():
    """Where the person has no line."""
    assert maker_of(ENGINE) == "MmBackward0"


def test_the_operator_is_the_maker_where_no_node_is():
    """The outermost one, as a person would call it."""
    assert maker_of(compiled("unwind()", "at::_ops::empty_like::call(x)", "at::_ops::clone::call(x)")) == "aten.clone"


def test_the_innermost_own_line_is_the_maker():
    """Of several own functions the one that called PyTorch is named."""
    frames = frames_of("/v/torch/nn/functional.py:linear", "/home/me/model.py:forward")

    assert maker_of(frames) == "forward (model.py:7)"


def test_frames_of_c_are_no_lines_of_a_person():
    """Frames of compiled code are left out where there is a Python line."""
    assert maker_of(frames_of("/src/CUDACachingAllocator.cpp:malloc")) == "main (train.py:12)"


def test_pytorch_s_own_line_is_better_than_none():
    """Without a line of the person the innermost frame is named; without a stack nothing is."""
    assert maker_of([{"filename": "/v/torch/cuda/graphs.py", "line": 3, "name": "replay"}]) == "replay (graphs.py:3)"
    assert not maker_of([])
