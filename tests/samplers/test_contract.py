"""What every sampler must keep; a new file in the folder is found by itself."""

from __future__ import annotations

import subprocess
import sys

import pytest

from bigmodel_lab.metrics import known
from bigmodel_lab.samplers import SAMPLERS, Sampler, open_samplers

NAMES = SAMPLERS.names()


@pytest.fixture(params=NAMES)
def sampler(request):
    """Each sampler, for the first visible card, on whatever machine this is."""
    made = SAMPLERS.get(request.param)(None)
    yield made
    made.close()


def test_the_name_is_the_file_name():
    """The stream in the run log is called like the file."""
    assert tuple(sampler.name for sampler in open_samplers()) == NAMES


def test_it_is_a_sampler(sampler):
    """It has what the contract asks for."""
    assert isinstance(sampler, Sampler)


def test_every_key_is_a_described_metric(sampler):
    """Views show label, unit and meaning of each number."""
    assert set(sampler.keys) <= {metric.key for metric in known()}


def test_every_sample_has_the_same_keys(sampler):
    """Same keys, same order, whether or not a value is known."""
    assert [tuple(sampler.sample().values) for _ in range(3)] == [sampler.keys] * 3


def test_unknown_has_a_reason_and_known_has_none(sampler):
    """One reason for every None."""
    for sample in (sampler.sample(), sampler.sample()):
        assert {k for k, v in sample.values.items() if v is None} == set(sample.reasons)
        assert all(sample.reasons.values())


def test_time_goes_forward(sampler):
    """Samples carry the monotonic clock."""
    assert sampler.sample().monotonic_ns <= sampler.sample().monotonic_ns


def test_a_card_that_does_not_exist_does_not_raise(sampler):
    """A wrong UUID gives unknowns at most."""
    other = SAMPLERS.get(sampler.name)("GPU-does-not-exist")
    assert tuple(other.sample().values) == sampler.keys
    other.close()


def test_closing_twice_is_harmless(sampler):
    """As the contract says."""
    sampler.sample()
    sampler.close()
    sampler.close()


def test_no_sampler_is_there_twice():
    """Each key belongs to one sampler, or two streams would tell the same number."""
    keys = [key for sampler in open_samplers() for key in sampler.keys]
    assert len(keys) == len(set(keys))


def test_with_a_driver_the_contract_holds_too(stub):
    """The same with a stub driver, its card lost in the middle."""
    assert stub.run(
        "",
        """
        from bigmodel_lab.samplers import open_samplers
        samplers, good = open_samplers(), True
        for state in ("", "fail.* 15", "", "fail.* 999", "fail.nvmlDeviceGetMemoryInfo_v2 4"):
            settings(state)
            for sampler in samplers:
                sample = sampler.sample()
                unknown = {k for k, v in sample.values.items() if v is None}
                good &= tuple(sample.values) == sampler.keys and unknown == set(sample.reasons)
        show(good)
        """,
    )


@pytest.mark.parametrize(
    "action", ["import bigmodel_lab.samplers", "__import__('bigmodel_lab.samplers').samplers.open_samplers()"]
)
@pytest.mark.parametrize("module", ["torch", "pynvml", "IPython", "ipywidgets"])
def test_importing_and_opening_is_free(action, module):
    """Neither the import nor making the samplers loads PyTorch, the driver's binding or Jupyter."""
    code = f"import sys; {action}; sys.exit({module!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_sampling_initialises_no_cuda(stub, cuda):
    """After samples of everything the CUDA library is still not initialised."""
    stub.folders.append(cuda)
    stub.environment = {"STUB_CUDA": "0" * 32}
    assert stub.run(
        "",
        """
        import ctypes, torch
        from bigmodel_lab.samplers import open_samplers, read_cards
        for sampler in open_samplers("GPU-00000000-0000-0000-0000-000000000000"): sampler.sample()
        read_cards()
        count = ctypes.c_int()
        show([ctypes.CDLL("libcuda.so.1").cuDeviceGetCount(ctypes.byref(count)), torch.cuda.is_initialized()])
        """,
    ) == [3, False]
