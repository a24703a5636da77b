"""Why the driver does not tell a number, in words for a person, by NVML's return code."""

from __future__ import annotations

import platform
import sys
from functools import lru_cache

from bigmodel_lab.i18n import Text, text

# nvml.h, enum nvmlReturn_t. Written out, because pynvml is not imported to explain.
UNINITIALIZED = 1
INVALID_ARGUMENT = 2
NOT_SUPPORTED = 3
NO_PERMISSION = 4
NOT_FOUND = 6
DRIVER_NOT_LOADED = 9
TIMEOUT = 10
LIBRARY_NOT_FOUND = 12
FUNCTION_NOT_FOUND = 13
GPU_IS_LOST = 15
RESET_REQUIRED = 16
OPERATING_SYSTEM = 17
LIBRARY_VERSION_MISMATCH = 18
ARGUMENT_VERSION_MISMATCH = 25
GPU_NOT_FOUND = 28
UNKNOWN = 999

NO_BINDING = -1
"""Not NVML's: the Python package nvidia-ml-py is missing."""

LOST = frozenset(
    {UNINITIALIZED, DRIVER_NOT_LOADED, GPU_IS_LOST, RESET_REQUIRED, LIBRARY_VERSION_MISMATCH, GPU_NOT_FOUND}
)
"""Codes after which no handle is good any more: start again from nvmlInit."""

OTHER_FORM = frozenset(
    {INVALID_ARGUMENT, NOT_SUPPORTED, FUNCTION_NOT_FOUND, ARGUMENT_VERSION_MISMATCH, UNKNOWN},
)
"""Codes after which an older form of the same question may still be answered. UNKNOWN is what
WSL2 says to the newer memory query."""

_BY_CODE = {
    NO_BINDING: Text(
        "nvml.no_binding",
        "The Python package nvidia-ml-py is not installed; install it with: pip install nvidia-ml-py.",
    ),
    UNINITIALIZED: Text("nvml.uninitialized", "The connection to the NVIDIA driver was closed."),
    NO_PERMISSION: Text("nvml.no_permission", "The driver tells this only to an administrator."),
    NOT_FOUND: Text("nvml.not_found", "The driver does not know what was asked for."),
    DRIVER_NOT_LOADED: Text("nvml.driver_not_loaded", "The NVIDIA driver is installed but not loaded."),
    TIMEOUT: Text("nvml.timeout", "The NVIDIA driver did not answer in time."),
    LIBRARY_NOT_FOUND: Text(
        "nvml.library_not_found",
        "There is no NVIDIA driver on this machine (its library NVML was not found).",
    ),
    FUNCTION_NOT_FOUND: Text("nvml.function_not_found", "The installed NVIDIA driver is too old to tell this."),
    GPU_IS_LOST: Text(
        "nvml.gpu_is_lost",
        "The GPU is lost: the driver cannot reach it any more. It is asked again from time to time.",
    ),
    RESET_REQUIRED: Text("nvml.reset_required", "The GPU must be reset before it can be used again."),
    OPERATING_SYSTEM: Text("nvml.operating_system", "The operating system does not let the driver reach the GPU."),
    LIBRARY_VERSION_MISMATCH: Text(
        "nvml.version_mismatch",
        "The NVIDIA driver was updated while it was running; restart the machine.",
    ),
    GPU_NOT_FOUND: Text("nvml.gpu_not_found", "The driver does not find the GPU any more."),
    UNKNOWN: Text(
        "nvml.unknown",
        "The NVIDIA driver answered 'unknown error' (in a container this often means that it lost its access to the GPU).",
    ),
}

_UNDER_WSL = Text("nvml.wsl", "Under WSL2 the NVIDIA driver does not tell this.")
_NOT_SUPPORTED = Text("nvml.not_supported", "The driver does not tell this for this card.")

UTILIZATION_ON_MIG = Text(
    "nvml.utilization_on_mig",
    "The card is split into MIG instances; the driver tells no utilization for them.",
)
ENERGY_BEFORE_VOLTA = Text(
    "nvml.energy_before_volta",
    "The card has no energy counter; cards since the Volta generation have one.",
)


def explain(code: int, message: str = "") -> str:
    """The reason for this return code.

    Args:
        code: NVML's return code, or :data:`NO_BINDING`.
        message: NVML's own words, shown for a code that is not known here.

    >>> explain(9)
    'The NVIDIA driver is installed but not loaded.'
    """
    if code in (NOT_SUPPORTED, UNKNOWN) and under_wsl():
        return str(_UNDER_WSL)
    if code == NOT_SUPPORTED:
        return str(_NOT_SUPPORTED)
    if code in _BY_CODE:
        return str(_BY_CODE[code])
    return text("nvml.other", "The NVIDIA driver answered with error {code}: {message}", code=code, message=message)


def without_process_memory(*, mig: bool) -> str:
    """The reason when the driver lists a process and not its memory."""
    if sys.platform == "win32":
        return text("nvml.wddm", "Under Windows (WDDM) the driver does not tell the memory of single processes.")
    if under_wsl():
        return str(_UNDER_WSL)
    if mig:
        return text("nvml.process_on_mig", "On a card split into MIG instances this process may not see it.")
    return text("nvml.process_memory_hidden", "The driver lists the process but not its memory, as in some containers.")


@lru_cache(maxsize=1)
def under_wsl() -> bool:
    """This is Linux inside Windows (WSL), where NVML answers only a part of the questions."""
    return sys.platform == "linux" and "microsoft" in platform.release().lower()
