"""Numbers of one NVIDIA card, from its driver: utilization, memory, power, heat, energy, clocks."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from bigmodel_lab.i18n import text
from bigmodel_lab.samplers import _reasons, _visible
from bigmodel_lab.samplers._nvml import Answer, Nvml, unknown
from bigmodel_lab.samplers._nvml_device import MEMORY_CLOCK, SM_CLOCK, DeviceMemory, DeviceProcess, NvmlDevice
from bigmodel_lab.samplers.base import Sample


class BackOff:
    """When to try again: 1 s after the first failure, then twice as long each time, at most 30 s."""

    def __init__(
        self, first_s: float = 1.0, longest_s: float = 30.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Args: the shortest and the longest wait, seconds; ``clock`` tells the time in seconds."""
        self._first_s = first_s
        self._longest_s = longest_s
        self._clock = clock
        self._wait_s = first_s
        self._not_before = -float("inf")

    def ready(self) -> bool:
        """It is time for another try."""
        return self._clock() >= self._not_before

    def failed(self) -> None:
        """The try failed: wait, longer than last time."""
        self._not_before = self._clock() + self._wait_s
        self._wait_s = min(2 * self._wait_s, self._longest_s)

    def succeeded(self) -> None:
        """The try succeeded: the next failure waits the short time again."""
        self._wait_s = self._first_s


class NvmlSampler:
    """Numbers of one card. A card that is lost gives unknowns, and values again when it is back.

    >>> sampler = NvmlSampler("GPU-does-not-exist")
    >>> sampler.sample().values["gpu_utilization_percent"] is None
    True
    >>> sampler.close()
    """

    name = "nvml"
    keys: tuple[str, ...] = (
        "gpu_utilization_percent",
        "device_used_bytes",
        "device_total_bytes",
        "power_watts",
        "temperature_celsius",
        "energy_joules",
        "sm_clock_megahertz",
        "memory_clock_megahertz",
        "process_device_bytes",
    )

    def __init__(self, gpu_uuid: str | None = None, back_off: BackOff | None = None) -> None:
        """Nothing is opened before the first sample.

        Args:
            gpu_uuid: ``"GPU-…"`` or ``"MIG-…"``; None is the first card that this process may see.
            back_off: When to look again for a card that is lost.
        """
        self._uuid = gpu_uuid
        self._back_off = back_off or BackOff()
        self._nvml = Nvml()
        self._device: NvmlDevice | None = None
        self._missing = unknown("")
        self._energy = _EnergySinceStart()

    def sample(self) -> Sample:
        """Read all values now; ``energy_joules`` counts from the sampler's first sample."""
        if self._device is None and self._back_off.ready():
            self._open()
        if self._device is None:
            return self._as_sample(dict.fromkeys(self.keys, self._missing))
        answers = self._answers(self._device)
        if _broken(answers):
            self._lose(next(a for a in answers.values() if not a.known))
        return self._as_sample(answers)

    def close(self) -> None:
        """Close the connection to the driver."""
        self._device = None
        self._nvml.close()

    def _answers(self, device: NvmlDevice) -> dict[str, Answer]:
        memory = device.memory()
        used, total = _parts_of(memory)
        return {
            "gpu_utilization_percent": device.utilization_percent(),
            "device_used_bytes": used,
            "device_total_bytes": total,
            "power_watts": device.power_watts(),
            "temperature_celsius": device.temperature_celsius(),
            "energy_joules": self._energy.since_start(device.energy_joules()),
            "sm_clock_megahertz": device.clock_megahertz(SM_CLOCK),
            "memory_clock_megahertz": device.clock_megahertz(MEMORY_CLOCK),
            "process_device_bytes": _of_this_process(device),
        }

    def _open(self) -> None:
        if self._uuid is None:
            self._uuid = self._first_visible()
        if self._uuid is not None:
            self._device, answer = NvmlDevice.by_uuid(self._nvml, self._uuid)
            wrong_name = answer.code in (_reasons.NOT_FOUND, _reasons.INVALID_ARGUMENT)
            self._missing = _no_such_card(self._uuid) if wrong_name else answer
        if self._device is None:
            self._lose(self._missing)
        else:
            self._back_off.succeeded()

    def _first_visible(self) -> str | None:
        seen = _visible.visible_devices(self._nvml)
        if not seen.uuids:
            self._missing = unknown(seen.reason)
        return seen.uuids[0] if seen.uuids else None

    def _lose(self, why: Answer) -> None:
        """Forget the card and the connection, so that the next try begins at the beginning."""
        self._missing = why
        self._back_off.failed()
        self.close()

    def _as_sample(self, answers: dict[str, Answer]) -> Sample:
        return Sample(
            monotonic_ns=time.monotonic_ns(),
            values={key: answers[key].value for key in self.keys},
            reasons={key: answers[key].reason for key in self.keys if not answers[key].known},
        )


class _EnergySinceStart:
    """Energy since the first reading, from a counter that starts again when the driver is loaded again."""

    def __init__(self) -> None:
        self._last: float | None = None
        self._sum = 0.0

    def since_start(self, counter: Answer) -> Answer:
        if not counter.known:
            return counter
        if self._last is not None:
            self._sum += max(0.0, counter.value - self._last)
        self._last = counter.value
        return Answer(self._sum)


def _parts_of(memory: Answer) -> tuple[Answer, Answer]:
    if not memory.known:
        return memory, memory
    known: DeviceMemory = memory.value
    return Answer(known.used_bytes), Answer(known.total_bytes)


def _of_this_process(device: NvmlDevice) -> Answer:
    listed = device.processes()
    if not listed.known:
        return listed
    own: list[DeviceProcess] = [p for p in listed.value if p.pid == os.getpid()]
    if not own:
        return unknown(
            text(
                "nvml.process_not_listed",
                "The driver does not list this process on the card: it has not used the card yet, "
                "or it runs in a container, where process numbers differ.",
            )
        )
    if any(p.used_bytes is None for p in own):
        return unknown(_reasons.without_process_memory(mig=device.mig))
    return Answer(sum(p.used_bytes or 0 for p in own))


def _no_such_card(uuid: str) -> Answer:
    return unknown(text("nvml.no_such_card", "The driver knows no card with the UUID {uuid!r}.", uuid=uuid))


def _broken(answers: dict[str, Answer]) -> bool:
    """A code says that the card is lost, or nothing at all could be told."""
    return any(a.lost for a in answers.values()) or not any(a.known for a in answers.values())


SAMPLER = NvmlSampler
