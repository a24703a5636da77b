"""What a recorded call stack tells."""

from __future__ import annotations

import pytest

from bigmodel_lab.memory._call_stacks import category_of, maker_of
from bigmodel_lab.memory.categories import UNKNOWN
from tests.memory.snapshots import frames_of

OPTIMIZER = frames_of("/v/torch/optim/adam.py:_init_group")
BACKWARD = frames_of("/v/torch/autograd/graph.py:_engine_run_backward", "/v/torch/_tensor.py:backward")
OWN_BACKWARD = frames_of("/home/me/model.py:backward")
LAYER = frames_of("/v/torch/nn/functional.py:linear", "/v/torch/nn/modules/module.py:_call_impl")


@pytest.mark.parametrize(
    ("frames", "stays", "category"),
    [
        (OPTIMIZER, True, "optimizer_state"),
        (OPTIMIZER, False, "temporary"),
        (BACKWARD, True, "gradient"),
        (BACKWARD, False, "temporary"),
        (LAYER, True, "activation"),
        (LAYER, False, "activation"),
        (OWN_BACKWARD, True, UNKNOWN),
        ([], False, UNKNOWN),
    ],
)
def test_parts_of_pytorch_tell_the_category(frames, stays, category):
    """The optimizer, the backward pass and modules are known; a function of one's own with such a name is not."""
    assert category_of(frames, stays=stays) == category


@pytest.mark.parametrize("method", ["to", "cuda", "_apply", "to_empty", "_load_from_state_dict"])
def test_moving_a_module_makes_parameters(method):
    """What a module asks for while it moves or loads is its weights."""
    assert category_of(frames_of(f"/v/torch/nn/modules/module.py:{method}"), stays=True) == "parameter"


def test_the_optimizer_counts_before_the_module():
    """A step of the optimizer within a module's call is the optimizer's."""
    assert category_of(OPTIMIZER + LAYER, stays=True) == "optimizer_state"


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
