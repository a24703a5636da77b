"""The examples of CONTRIBUTING.md are true to the code."""

from __future__ import annotations

import re

import pytest
import torch

from bigmodel_lab.charts import Chart
from bigmodel_lab.metrics import known
from bigmodel_lab.models import ModelCard
from bigmodel_lab.samplers import Sampler
from bigmodel_lab.tips import Tip
from bigmodel_lab.training.changing import CHANGEABLE
from tests.packaging.conftest import ROOT
from tests.tips.evidences import healthy, ran_out

TEXT = (ROOT / "CONTRIBUTING.md").read_text()
EXAMPLES = dict(re.findall(r"```python\n# (bigmodel_lab/\S+)\n(.*?)```", TEXT, re.DOTALL))


def member(family: str, attribute: str) -> object:
    """What the example for a family defines."""
    ((path, code),) = ((path, code) for path, code in EXAMPLES.items() if f"/{family}/" in path)
    names: dict[str, object] = {"__name__": path.removesuffix(".py").replace("/", ".")}
    exec(compile(code, path, "exec", dont_inherit=True), names)
    return names[attribute]


def test_each_family_has_its_example() -> None:
    """A model, a sampler, a tip and a chart."""
    assert {path.split("/")[1] for path in EXAMPLES} == {"models", "samplers", "tips", "charts"}


@pytest.mark.parametrize("path", EXAMPLES)
def test_no_example_stands_in_the_way_of_a_member(path: str) -> None:
    """Following an example adds a file and overwrites none."""
    assert (ROOT / path).parent.is_dir()
    assert not (ROOT / path).exists()


def test_the_model_keeps_the_contract() -> None:
    """Named like its file, with the number of weights that it says, and scores of the right shape."""
    card = member("models", "MODEL")
    assert isinstance(card, ModelCard)
    model = card.create(seed=0)
    assert f"bigmodel_lab/models/{card.name}.py" in EXAMPLES
    assert sum(p.numel() for p in model.parameters()) == card.parameters
    assert model(torch.zeros(2, *card.input_shape)).shape == (2, card.classes)


def test_the_sampler_keeps_the_contract() -> None:
    """Named like its file, the same keys in every sample, a reason for every unknown."""
    sampler = member("samplers", "SAMPLER")(None)  # type: ignore[operator]
    assert isinstance(sampler, Sampler)
    assert f"bigmodel_lab/samplers/{sampler.name}.py" in EXAMPLES
    sample = sampler.sample()
    assert tuple(sample.values) == sampler.keys
    assert {key for key, value in sample.values.items() if value is None} == set(sample.reasons)


def test_the_chart_keeps_the_contract() -> None:
    """It draws numbers that are known, in their unit."""
    chart = member("charts", "CHART")
    assert isinstance(chart, Chart)
    units = {metric.key: metric.unit for metric in known()}
    assert {units[line.metric] for line in chart.lines} == {chart.unit}


def test_the_tip_keeps_the_contract() -> None:
    """Silent on a healthy run, and in its own case a change that a run can make."""
    tip = member("tips", "TIP")
    assert isinstance(tip, Tip)
    assert tip.propose(healthy()) is None
    proposal = tip.propose(healthy(out_of_memory=ran_out("evaluation")))
    assert proposal is not None
    assert f"bigmodel_lab/tips/{proposal.tip}.py" in EXAMPLES
    assert proposal.change.keys() <= CHANGEABLE


def test_every_folder_of_the_map_is_there() -> None:
    """The map at the top shows what exists."""
    shown = re.findall(r"^(?:  )?([a-z_]+)/ ", TEXT.split("```")[1], re.MULTILINE)
    assert len(shown) > 8
    assert [name for name in shown if not ((ROOT / name).is_dir() or (ROOT / "bigmodel_lab" / name).is_dir())] == []
