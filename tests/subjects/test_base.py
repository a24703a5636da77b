"""A subject of one's own: the contract alone."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from bigmodel_lab.errors import ConfigError, UnknownNameError
from bigmodel_lab.i18n import Text
from bigmodel_lab.subjects import Batch, Subject


def batch(samples: int, *, width: int, height: int) -> Batch:
    """One tensor of the sizes asked for."""
    return {"x": torch.zeros(samples, height, width)}


OWN = Subject(
    name="own",
    build=lambda: nn.Linear(3, 1),
    batch=batch,
    loss=lambda model, given: model(given["x"]).sum(),
    parameters=4,
    inputs=Text("test.inputs", "Rows of three."),
    source="nowhere",
    idea=Text("test.idea", "A line."),
    sizes={"width": 3, "height": 2},
)


def test_sizes_that_are_not_given_are_the_usual_ones():
    """What is named replaces its size alone."""
    assert OWN.example(5)["x"].shape == (5, 2, 3)
    assert OWN.example(5, height=7)["x"].shape == (5, 7, 3)


def test_the_device_in_force_takes_the_batch():
    """Under the meta device no number is made."""
    with torch.device("meta"):
        assert OWN.example(2)["x"].device.type == "meta"


def test_the_parts_work_together():
    """Build, example and loss are all that a training step needs."""
    assert OWN.loss(OWN.build(), OWN.example(2)).requires_grad


def test_an_unknown_size_lists_those_there_are():
    """With the nearest."""
    with pytest.raises(UnknownNameError, match=r"no size of own named 'widht'\. Did you mean 'width'\?.*height, width"):
        OWN.example(1, widht=3)


@pytest.mark.parametrize(("sizes", "name"), [({"samples": 0}, "samples"), ({"samples": 1, "width": -2}, "width")])
def test_sizes_below_1_are_refused(sizes: dict[str, int], name: str):
    """The message names the size and what it was."""
    with pytest.raises(ConfigError, match=rf"{name} is {sizes[name]}, and it must be at least 1"):
        OWN.example(**sizes)


def test_a_model_without_sizes_takes_samples_alone():
    """Then there is nothing else to choose."""
    plain = Subject(
        "own", OWN.build, lambda samples: {"x": torch.zeros(samples, 3)}, OWN.loss, 4, OWN.inputs, "", OWN.idea
    )

    assert plain.example(2)["x"].shape == (2, 3)
    assert (plain.package, plain.training) == (None, None)
