"""Reads the table of cards from the driver and the operating system, without a run and without CUDA."""

from __future__ import annotations

from collections.abc import Mapping

from bigmodel_lab.i18n import text
from bigmodel_lab.samplers import _reasons
from bigmodel_lab.samplers._cards import Card, CardProcess, CardTable
from bigmodel_lab.samplers._nvml import Answer, Nvml
from bigmodel_lab.samplers._nvml_device import DeviceProcess, NvmlDevice, mig_enabled
from bigmodel_lab.samplers._owners import find_owner


def read_cards(notebooks: Mapping[int, str] | None = None) -> CardTable:
    """All NVIDIA cards of the machine and who computes on them, now.

    Cards that CUDA_VISIBLE_DEVICES hides are listed too. Programs that only draw on the
    screen are not.

    Args:
        notebooks: Notebook path by process number, as the registry of live runs knows it.

    Returns:
        The table; without a driver an empty one, with the reason. Never raises for a missing card.

    >>> isinstance(read_cards().cards, tuple)
    True
    """
    nvml = Nvml()
    count = nvml.ask("nvmlDeviceGetCount")
    if not count.known:
        return CardTable((), count.reason)
    cards = tuple(_read_card(nvml, index, notebooks or {}) for index in range(count.value))
    nvml.close()
    return CardTable(cards, "" if cards else text("cards.none", "The driver lists no card."))


def _read_card(nvml: Nvml, index: int, notebooks: Mapping[int, str]) -> Card:
    device, why = NvmlDevice.by_index(nvml, index)
    if device is None:
        return _unreachable(index, why)
    memory = device.memory()
    answers = {
        "device_used_bytes": memory,
        "gpu_utilization_percent": device.utilization_percent(),
        "temperature_celsius": device.temperature_celsius(),
        "power_watts": device.power_watts(),
        "power_limit_watts": device.power_limit_watts(),
        "processes": device.processes(),
    }
    listed: tuple[DeviceProcess, ...] | None = answers["processes"].value
    return Card(
        index=index,
        uuid=device.uuid,
        name=str(device.name().value or "?"),
        device_used_bytes=memory.value.used_bytes if memory.known else None,
        device_free_bytes=memory.value.free_bytes if memory.known else None,
        device_total_bytes=memory.value.total_bytes if memory.known else None,
        gpu_utilization_percent=answers["gpu_utilization_percent"].value,
        temperature_celsius=answers["temperature_celsius"].value,
        power_watts=answers["power_watts"].value,
        power_limit_watts=answers["power_limit_watts"].value,
        mig_enabled=mig_enabled(nvml, device.board),
        processes=None if listed is None else tuple(_describe(p, device, notebooks) for p in listed),
        reasons={name: answer.reason for name, answer in answers.items() if not answer.known},
    )


def _unreachable(index: int, why: Answer) -> Card:
    return Card(index, "", "?", processes=None, reasons={"uuid": why.reason})


def _describe(process: DeviceProcess, device: NvmlDevice, notebooks: Mapping[int, str]) -> CardProcess:
    owner = find_owner(process.pid, notebooks)
    hidden = "" if process.used_bytes is not None else _reasons.without_process_memory(mig=device.mig)
    return CardProcess(
        pid=process.pid,
        used_bytes=process.used_bytes,
        user=owner.user,
        command=owner.command,
        notebook=owner.notebook,
        kernel_id=owner.kernel_id,
        started_seconds=owner.started_seconds,
        age_seconds=owner.age_seconds,
        mine=owner.mine,
        reason=" ".join(reason for reason in (owner.reason, hidden) if reason),
    )
