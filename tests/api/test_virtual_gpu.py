"""Runs of fit on a virtual card: what they record, how they are labelled, how a full card ends them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import bigmodel_lab as lab
from bigmodel_lab import metrics
from bigmodel_lab._virtual_gpu import VirtualGpuSampler
from bigmodel_lab.errors import UnknownNameError
from bigmodel_lab.memory.cards import card
from bigmodel_lab.samplers import Sampler
from bigmodel_lab.widgets._spec import build_spec
from bigmodel_lab.widgets._svg import picture
from tests.api.small import numbers, tiny

MIB = 2**20


def test_a_run_on_a_virtual_card_records_its_memory():
    """Under the names that a real card's has, live, until the end."""
    run = lab.fit(tiny(), numbers(), epochs=2, device="virtual:2GiB")
    allocated, total = run.series("allocated_bytes").value, run.series("device_total_bytes").value
    assert run.status.value == "finished"
    assert len(allocated) >= 2
    assert set(total) == {2 * 1024**3}
    weights = 4 * sum(parameter.numel() for parameter in run.model.parameters())
    assert run.last("peak_allocated_bytes") > 4 * weights  # with gradients and Adam's two states
    assert run.last("device_used_bytes") > run.last("reserved_bytes") >= run.last("allocated_bytes")


def test_a_run_on_a_virtual_card_is_labelled_simulated():
    """In its header, so on every chart and in every export."""
    run = lab.fit(tiny(), numbers(), max_steps=2, device="virtual:T4")
    assert run.header["origin"] == "simulated"
    assert run.header["virtual_gpu"]["name"] == "T4"
    assert run.header["device"] == "cpu"
    assert "the memory of a T4 (14.6 GiB) is simulated" in run.header["device_reason"]


def test_every_view_shows_the_memory_and_says_that_it_is_simulated(tmp_path: Path):
    """The dashboard, the picture that stays in a notebook, and what is exported."""
    run = lab.fit(tiny(), numbers(), max_steps=2, device="virtual:T4")
    shown = build_spec(run._source, run._source.streams(), controls=False)
    memory = next(chart for chart in shown["charts"] if chart["key"] == "gpu_memory")
    assert shown["badge"] == "simulated"
    assert {line["metric"] for line in memory["lines"]} == {
        "allocated_bytes",
        "reserved_bytes",
        "device_used_bytes",
        "device_total_bytes",
    }
    assert "simulated" in picture(run._source)
    (table,) = (path for path in run.export_csv(tmp_path) if "virtual_gpu" in path.name)
    assert ",simulated," in table.read_text()


def test_a_card_of_this_machine_is_not_sampled():
    """Its numbers would stand beside the simulated ones."""
    run = lab.fit(tiny(), numbers(), max_steps=2, device="virtual:T4")
    assert {stream.name for stream in run._source.streams()} & {"nvml", "cuda_memory"} == set()
    assert len(run.series("host_available_bytes").value) >= 1


def test_the_sampler_of_a_card_is_one_like_others():
    """Known metrics, and no value that is unknown."""
    sampler = VirtualGpuSampler(lab.virtual_gpu("T4"))
    sample = sampler.sample()
    sampler.close()
    assert isinstance(sampler, Sampler)
    assert tuple(sample.values) == sampler.keys
    assert set(sampler.keys) <= {metric.key for metric in metrics.known()}
    assert sample.values["device_used_bytes"] == card("T4").most_context.bytes


def test_an_ordinary_run_is_not_labelled():
    """Nor does it carry a card."""
    run = lab.fit(tiny(), numbers(), max_steps=2, device="cpu")
    assert run.header["origin"] == "measured"
    assert "virtual_gpu" not in run.header


class Hungry(nn.Module):
    """Keeps the activations of every training step, as programs do by mistake."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(64, 3)
        self.kept: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        """Scores, and a leak of 4 MiB a step."""
        if self.training and len(x) > 2:
            self.kept.append(x.new_zeros(MIB))
        return self.layer(x)


def test_a_full_card_ends_a_run_as_failed(runs_dir: Path):
    """The file says why, and holds every step and the memory up to then."""
    data = (torch.randn(600, 64), torch.randint(0, 3, (600,)))
    with pytest.raises(torch.OutOfMemoryError, match="simulated by bigmodel_lab"):
        lab.fit(Hungry(), data, micro_batch_size=10, device="virtual:500MiB")

    (file,) = runs_dir.glob("*.bmlrun")
    run = lab.open_run(file)
    ended = [event.data for event in run.events() if event.kind == "ended"][-1]
    assert run.status.value == "failed"
    assert (ended["error"], ended["message"][:19]) == ("OutOfMemoryError", "CUDA out of memory.")
    assert 10 < len(run.series("loss").value) < 54
    assert run.last("peak_allocated_bytes") > 60 * MIB


def test_a_model_that_does_not_fit_fails_before_the_first_step(runs_dir: Path):
    """Its run file says so."""
    data = (torch.randn(20, 4), torch.randint(0, 3, (20,)))
    with pytest.raises(torch.OutOfMemoryError):
        lab.fit(nn.Linear(4, 3), data, device="virtual:383MiB")

    (file,) = runs_dir.glob("*.bmlrun")
    assert lab.open_run(file).status.value == "failed"


def test_a_run_in_the_background_uses_the_card_in_its_thread():
    """And not the one that started it."""
    run = lab.fit(tiny(), numbers(), max_steps=5, device="virtual:T4", background=True)
    run.wait()
    with lab.virtual_gpu("2GiB"):  # nothing is in the way here
        pass
    assert run.last("peak_allocated_bytes") > 100_000


def test_a_resumed_run_goes_on_on_its_card():
    """As its settings say."""
    run = lab.fit(tiny(), numbers(), epochs=1, checkpoint="every_epoch", device="virtual:T4")
    again = lab.resume(run.path, model=tiny(), data=numbers(), epochs=2)
    assert (again.status.value, again.header["origin"]) == ("finished", "simulated")


def test_a_measured_run_that_goes_on_on_a_virtual_card_is_labelled():
    """From then on its file holds simulated numbers."""
    run = lab.fit(tiny(), numbers(), epochs=1, checkpoint="every_epoch", device="cpu")
    again = lab.resume(run.path, model=tiny(), data=numbers(), epochs=2, device="virtual:T4")
    assert lab.open_run(again.path).header["origin"] == "simulated"


def test_an_unknown_card_is_refused_before_a_run_begins():
    """By name."""
    with pytest.raises(UnknownNameError, match=re.escape("T44")):
        lab.fit("mlp", device="virtual:T44")


def test_training_computes_the_same_numbers():
    """To the bit: the card only looks on."""

    def weights(device: str) -> Tensor:
        run = lab.fit(tiny(), numbers(), epochs=2, optimizer="adamw", device=device)
        return torch.cat([p.detach().flatten() for p in run.model.parameters()])

    assert torch.equal(weights("virtual:T4"), weights("cpu"))
