"""One card, or one MIG instance of a card, as NVML describes it, in plain units."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bigmodel_lab.samplers import _reasons
from bigmodel_lab.samplers._nvml import Answer, Nvml

# nvml.h: nvmlMemory_v2, nvmlTemperatureSensors_t, nvmlClockType_t
_MEMORY_V2 = 0x02000028
_SENSOR_OF_CHIP = 0
SM_CLOCK = 1
MEMORY_CLOCK = 2


@dataclass(frozen=True)
class DeviceMemory:
    """Memory of a card, counted as nvidia-smi counts it."""

    used_bytes: int
    """In use by programs. What the driver keeps for itself is *not* in it (nvidia-smi's
    "Reserved"), except with drivers before R510, which cannot tell the two apart."""
    free_bytes: int
    """What programs can still get."""
    total_bytes: int
    """The whole card: used + free + reserved by the driver."""


@dataclass(frozen=True)
class DeviceProcess:
    """A program that computes on the card."""

    pid: int
    """Process number; inside a container it may be the number outside of it."""
    used_bytes: int | None
    """Memory of the card that it holds; None is unknown (WDDM, MIG, some containers)."""


@dataclass(frozen=True)
class NvmlDevice:
    """A card that can be asked; for a MIG instance, what belongs to the whole board is asked of its card."""

    nvml: Nvml
    """The connection."""
    handle: Any
    """Handle of the card, or of the MIG instance."""
    board: Any
    """Handle of the physical card."""
    uuid: str
    """``"GPU-…"`` or ``"MIG-…"``."""
    mig: bool
    """The physical card is split into MIG instances."""

    @classmethod
    def by_uuid(cls, nvml: Nvml, uuid: str) -> tuple[NvmlDevice | None, Answer]:
        """The card or MIG instance with this UUID, or None with the answer that tells why not."""
        found = nvml.ask("nvmlDeviceGetHandleByUUID", uuid)
        board = found
        if found.known and uuid.startswith("MIG"):
            board = nvml.ask("nvmlDeviceGetDeviceHandleFromMigDeviceHandle", found.value)
        if not board.known:
            return None, board
        return cls(nvml, found.value, board.value, uuid, mig_enabled(nvml, board.value) is True), board

    @classmethod
    def by_index(cls, nvml: Nvml, index: int) -> tuple[NvmlDevice | None, Answer]:
        """The physical card at this place of nvidia-smi's list, or None with the answer that tells why not."""
        found = nvml.ask("nvmlDeviceGetHandleByIndex", index)
        uuid = nvml.ask("nvmlDeviceGetUUID", found.value) if found.known else found
        if not uuid.known:
            return None, uuid
        handle = found.value
        return cls(nvml, handle, handle, str(uuid.value), mig_enabled(nvml, handle) is True), uuid

    def name(self) -> Answer:
        """Product name."""
        return self.nvml.ask("nvmlDeviceGetName", self.handle)

    def memory(self) -> Answer:
        """A :class:`DeviceMemory`."""
        answer = self.nvml.ask_first_of(
            ("nvmlDeviceGetMemoryInfo", self.handle, _MEMORY_V2),
            ("nvmlDeviceGetMemoryInfo", self.handle),
        )
        if not answer.known:
            return answer
        return Answer(DeviceMemory(answer.value.used, answer.value.free, answer.value.total))

    def utilization_percent(self) -> Answer:
        """Share of the driver's last sample period in which a kernel ran; unknown on MIG."""
        answer = self.nvml.ask("nvmlDeviceGetUtilizationRates", self.handle)
        if answer.known:
            return Answer(answer.value.gpu)
        return _because(answer, str(_reasons.UTILIZATION_ON_MIG)) if self.mig else answer

    def power_watts(self) -> Answer:
        """Power of the board; since Ampere the driver averages it over one second."""
        return _scaled(self.nvml.ask("nvmlDeviceGetPowerUsage", self.board), 1e-3)

    def power_limit_watts(self) -> Answer:
        """What the board may draw now: the lowest of all limits that are in force."""
        return _scaled(self.nvml.ask("nvmlDeviceGetEnforcedPowerLimit", self.board), 1e-3)

    def temperature_celsius(self) -> Answer:
        """Temperature of the chip."""
        return self.nvml.ask("nvmlDeviceGetTemperature", self.board, _SENSOR_OF_CHIP)

    def energy_joules(self) -> Answer:
        """The board's energy counter, which starts when the driver is loaded; since Volta."""
        answer = self.nvml.ask("nvmlDeviceGetTotalEnergyConsumption", self.board)
        return _scaled(_because(answer, str(_reasons.ENERGY_BEFORE_VOLTA)), 1e-3)

    def clock_megahertz(self, which: int) -> Answer:
        """Clock of the multiprocessors (:data:`SM_CLOCK`) or of the memory (:data:`MEMORY_CLOCK`)."""
        return self.nvml.ask("nvmlDeviceGetClockInfo", self.board, which)

    def processes(self) -> Answer:
        """A tuple of :class:`DeviceProcess`, each program that computes here (not those that only draw)."""
        answer = self.nvml.ask_first_of(
            ("nvmlDeviceGetComputeRunningProcesses_v3", self.handle),
            ("nvmlDeviceGetComputeRunningProcesses_v2", self.handle),
        )
        if not answer.known:
            return answer
        return Answer(tuple(DeviceProcess(p.pid, p.usedGpuMemory) for p in answer.value))


def mig_enabled(nvml: Nvml, board: Any) -> bool | None:
    """The card is split into MIG instances; None is unknown. Cards before Ampere cannot be."""
    answer = nvml.ask("nvmlDeviceGetMigMode", board)
    if answer.code in (_reasons.NOT_SUPPORTED, _reasons.FUNCTION_NOT_FOUND):
        return False
    return bool(answer.value[0]) if answer.known else None


def mig_uuids(nvml: Nvml, board: Any) -> tuple[str, ...]:
    """UUIDs of the card's MIG instances, empty when there are none."""
    count = nvml.ask("nvmlDeviceGetMaxMigDeviceCount", board)
    handles = (nvml.ask("nvmlDeviceGetMigDeviceHandleByIndex", board, i) for i in range(count.value or 0))
    uuids = (nvml.ask("nvmlDeviceGetUUID", handle.value) for handle in handles if handle.known)
    return tuple(str(uuid.value) for uuid in uuids if uuid.known)


def _because(answer: Answer, reason: str) -> Answer:
    """The same answer, with a better reason where the driver only says "not supported"."""
    plain = answer.code == _reasons.NOT_SUPPORTED and not _reasons.under_wsl()
    return Answer(None, reason, answer.code) if plain else answer


def _scaled(answer: Answer, factor: float) -> Answer:
    return Answer(answer.value * factor) if answer.known else answer
