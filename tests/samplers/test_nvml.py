"""The nvml sampler against real pynvml and a stub driver."""

from __future__ import annotations

import pytest

from bigmodel_lab.samplers.nvml import BackOff, NvmlSampler

GIB = 2**30
ONE = """
    from bigmodel_lab.samplers.nvml import NvmlSampler
    s = NvmlSampler().sample()
    show([dict(s.values), dict(s.reasons)])
"""
AGAIN = """
    from bigmodel_lab.samplers.nvml import BackOff, NvmlSampler
    now = [0.0]
    sampler = NvmlSampler(None, BackOff(clock=lambda: now[0]))
    def look(text=None, at=0.0):
        if text is not None: settings(text)
        now[0] = at
        sample = sampler.sample()
        return [sample.values["device_used_bytes"], sample.reasons.get("device_used_bytes")]
"""


def test_every_value_is_read_in_plain_units(stub):
    """Milliwatts become watts, and the other numbers come as the driver has them."""
    values, reasons = stub.run("0.process 1 5", ONE)
    assert values == {
        "gpu_utilization_percent": 37,
        "device_used_bytes": GIB,
        "device_total_bytes": 16 * GIB,
        "power_watts": 70.5,
        "temperature_celsius": 55,
        "energy_joules": 0.0,
        "sm_clock_megahertz": 1590,
        "memory_clock_megahertz": 5000,
        "process_device_bytes": None,
    }
    assert list(reasons) == ["process_device_bytes"]


def test_reserved_memory_is_not_used_memory(stub):
    """As nvidia-smi counts: what the driver keeps for itself is not in use."""
    assert stub.run("0.used 100\n0.reserved 50", ONE)[0]["device_used_bytes"] == 100


def test_an_old_driver_counts_reserved_memory_as_used(stub, old_driver):
    """Before R510 there is only the older form of the question, and process lists of version 2."""
    stub.folders = [old_driver]
    values, _ = stub.run("0.used 100\n0.reserved 50", ONE)
    assert values["device_used_bytes"] == 150
    assert "nvmlDeviceGetComputeRunningProcesses_v2" in stub.calls()


def test_unknown_error_of_the_newer_memory_query_falls_back(stub):
    """Some drivers under WSL2 have the newer memory query and answer it with 'unknown error'."""
    assert stub.run("fail.nvmlDeviceGetMemoryInfo_v2 999\n0.used 7", ONE)[0]["device_used_bytes"] == 7 + GIB // 4


def test_energy_counts_from_the_first_sample(stub):
    """The counter of the driver runs since it was loaded; the sampler's starts at 0."""
    assert stub.run(
        "0.mj 8000",
        """
        from bigmodel_lab.samplers.nvml import NvmlSampler
        sampler, seen = NvmlSampler(), []
        for counter in (8000, 9500, 400, 900):   # the driver was loaded again before 400
            settings(f"0.mj {counter}")
            seen.append(sampler.sample().values["energy_joules"])
        show(seen)
        """,
    ) == pytest.approx([0.0, 1.5, 1.5, 2.0])


@pytest.mark.parametrize(
    ("function", "key"),
    [
        ("nvmlDeviceGetUtilizationRates", "gpu_utilization_percent"),
        ("nvmlDeviceGetPowerUsage", "power_watts"),
        ("nvmlDeviceGetTemperature", "temperature_celsius"),
        ("nvmlDeviceGetTotalEnergyConsumption", "energy_joules"),
    ],
)
@pytest.mark.parametrize("code", [3, 4, 10, 999, 77])
def test_one_failing_number_is_unknown_alone(stub, function, key, code):
    """Not supported, no permission, time-out, unknown and unheard-of errors cost one number, never 0."""
    values, reasons = stub.run(f"fail.{function} {code}", ONE)
    assert values[key] is None
    assert len(reasons[key]) > 20
    assert values["device_used_bytes"] == GIB


def test_a_card_without_energy_counter_says_so(stub):
    """Before Volta there is no counter."""
    assert "Volta" in stub.run("fail.nvmlDeviceGetTotalEnergyConsumption 3", ONE)[1]["energy_joules"]


def test_mig_has_no_utilization(stub):
    """On a card split into instances the driver tells no utilization; the reason says MIG."""
    values, reasons = stub.run("0.mig 1\n0.mig_uuid MIG-1", ONE)
    assert values["gpu_utilization_percent"] is None
    assert "MIG" in reasons["gpu_utilization_percent"]


def test_a_mig_instance_asks_its_card_for_power(stub):
    """Power and heat belong to the board, so they are known for an instance too."""
    values, _ = stub.run("0.mig 1\n0.mig_uuid MIG-1", ONE.replace("NvmlSampler()", "NvmlSampler('MIG-1')"))
    assert values["power_watts"] == 70.5


@pytest.mark.parametrize(
    ("code", "words"),
    [(9, "not loaded"), (999, "unknown error"), (18, "restart"), (17, "operating system"), (4, "administrator")],
)
def test_a_driver_that_does_not_start_is_a_reason(stub, code, words):
    """Nothing is known, and each value says why."""
    values, reasons = stub.run(f"fail.nvmlInit {code}", ONE)
    assert set(values.values()) == {None}
    assert all(words in reason for reason in reasons.values())


def test_no_library_is_a_reason(stub, tmp_path):
    """A machine without a driver."""
    stub.folders = [tmp_path]
    values, reasons = stub.run("", ONE)
    assert set(values.values()) == {None}
    assert "no NVIDIA driver" in reasons["power_watts"]


def test_no_binding_is_a_reason(stub):
    """Without the package nvidia-ml-py the reason names the install line."""
    code = "import sys; sys.modules['pynvml'] = None\n" + ONE.replace("\n    ", "\n")
    assert "pip install nvidia-ml-py" in stub.run("", code)[1]["power_watts"]


def test_a_lost_gpu_comes_back(stub):
    """Lost in the middle of a run: unknown with the reason; back again: the value."""
    first, lost, waiting, back = stub.run(
        "0.used 1",
        AGAIN + "    show([look(), look('fail.* 15'), look('0.used 2', at=0.5), look(at=1.5)])",
    )
    assert first == [1, None]
    assert lost[0] is None
    assert "lost" in lost[1]
    assert waiting == lost
    assert back == [2, None]


def test_a_lost_gpu_is_connected_anew(stub):
    """Old handles are worthless after a loss: the start is made again."""
    stub.run("0.used 1", AGAIN + "    show([look(), look('fail.* 15'), look('0.used 2', at=1.5)])")
    assert stub.calls().count("nvmlInit") == 2


def test_a_driver_that_is_loaded_later_is_found(stub):
    """The sampler asks again when the driver was not loaded at first."""
    seen = stub.run("fail.nvmlInit 9", AGAIN + "    show([look(), look('0.used 3', at=1.5)])")
    assert [value for value, _ in seen] == [None, 3]


def test_everything_unknown_counts_as_lost(stub):
    """A container that lost its devices answers 'unknown error' to all questions."""
    stub.run("0.used 1", AGAIN + "    show([look(), look('fail.* 999'), look('0.used 2', at=1.5)])")
    assert stub.calls().count("nvmlInit") == 2


def test_an_unknown_uuid_is_named(stub):
    """The reason shows the UUID that was asked for."""
    _, reasons = stub.run("", ONE.replace("NvmlSampler()", "NvmlSampler('GPU-nope')"))
    assert "GPU-nope" in reasons["power_watts"]


def test_memory_of_this_process(stub):
    """The driver's entry for this process number."""
    code = """
        from bigmodel_lab.samplers.nvml import NvmlSampler
        settings(f"0.process 1 5\\n0.process {os.getpid()} 4096")
        show(NvmlSampler().sample().values["process_device_bytes"])
    """
    assert stub.run("", code) == 4096


@pytest.mark.parametrize("mig", ["", "0.mig 1"])
def test_hidden_memory_of_this_process_is_unknown(stub, mig):
    """Its usedGpuMemory is not available (WDDM, MIG, containers): unknown, never 0."""
    code = f"""
        from bigmodel_lab.samplers.nvml import NvmlSampler
        settings(f"0.process {{os.getpid()}} hidden\\n{mig}")
        s = NvmlSampler().sample()
        show([s.values["process_device_bytes"], s.reasons["process_device_bytes"]])
    """
    value, reason = stub.run("", code)
    assert value is None
    assert ("MIG" in reason) is bool(mig)


def test_pcie_throughput_is_never_asked(stub):
    """Each such question would block 20 ms."""
    stub.run("0.process 1 5", ONE)
    assert "nvmlDeviceGetPowerUsage" in stub.calls()
    assert "nvmlDeviceGetPcieThroughput" not in stub.calls()


def test_the_first_visible_card_is_taken(stub):
    """CUDA_VISIBLE_DEVICES decides which card it is."""
    stub.environment = {"CUDA_VISIBLE_DEVICES": "1,0"}
    assert stub.run("cards 2\n0.used 1\n1.used 2", ONE)[0]["device_used_bytes"] == 2


def test_hidden_cards_are_a_reason(stub):
    """An empty CUDA_VISIBLE_DEVICES hides all cards."""
    stub.environment = {"CUDA_VISIBLE_DEVICES": ""}
    values, reasons = stub.run("cards 2", ONE)
    assert values["power_watts"] is None
    assert "CUDA_VISIBLE_DEVICES" in reasons["power_watts"]


def test_a_slow_driver_lets_other_threads_run(stub):
    """The interpreter's lock is free while the driver thinks."""
    turns = stub.run(
        "sleep.nvmlDeviceGetPowerUsage 300",
        """
        import threading
        from bigmodel_lab.samplers.nvml import NvmlSampler
        done, turns = threading.Event(), 0
        threading.Thread(target=lambda: (NvmlSampler().sample(), done.set())).start()
        while not done.wait(0.01): turns += 1
        show(turns)
        """,
    )
    assert turns >= 5


def test_a_library_loaded_before_is_used(stub, driver):
    """The binding finds the stub by its SONAME when it is already loaded, without LD_LIBRARY_PATH."""
    stub.folders = []
    code = f"import ctypes; ctypes.CDLL('{driver}/libnvidia-ml.so.1')\n" + ONE.replace("\n    ", "\n")
    assert stub.run("0.used 9", code)[0]["device_used_bytes"] == 9


def test_back_off_doubles_up_to_its_longest_wait():
    """1 s, 2 s, 4 s, then no longer than 4 s."""
    now = [0.0]
    back_off = BackOff(1.0, 4.0, clock=lambda: now[0])
    waits = []
    for _ in range(4):
        back_off.failed()
        start = now[0]
        while not back_off.ready():
            now[0] += 0.5
        waits.append(now[0] - start)
    assert waits == [1.0, 2.0, 4.0, 4.0]


def test_back_off_begins_anew_after_success():
    """The next failure waits the short time again."""
    now = [0.0]
    back_off = BackOff(1.0, 4.0, clock=lambda: now[0])
    back_off.failed()
    back_off.succeeded()
    back_off.failed()
    now[0] = 1.0
    assert back_off.ready()


def test_making_a_sampler_opens_nothing():
    """The driver is asked at the first sample, not before."""
    sampler = NvmlSampler()
    sampler.close()
    assert sampler.keys[0] == "gpu_utilization_percent"
