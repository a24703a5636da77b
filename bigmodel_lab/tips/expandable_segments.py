"""Memory growth for PyTorch: segments that grow instead of many that do not fit."""

from __future__ import annotations

from bigmodel_lab.i18n import text
from bigmodel_lab.tips._words import sentences
from bigmodel_lab.tips.base import Code, Evidence, Proposal, Tip
from bigmodel_lab.training.device_memory import with_option
from bigmodel_lab.units import format_bytes

_OPTION = "expandable_segments:"
_NEW_NAME = (2, 10)
"""The first torch that reads this option from PYTORCH_ALLOC_CONF; 2.9 ignores it there (pytorch issue 183387)."""
_IDLE_SHARE = 0.2
"""Idle at an out-of-memory whose size is unknown: as :attr:`Evidence.is_fragmented` has it."""
_RUNTIME_SETTER = (2, 13)
"""The first torch whose allocator takes settings while it runs (``torch._C._accelerator_setAllocatorSettings``)."""


def propose(evidence: Evidence) -> Proposal | None:
    """Where much of what is reserved lies idle while memory is short; on Linux, whose driver can map pages one by one."""
    already = evidence.config.expandable_segments or f"{_OPTION}True" in evidence.platform.alloc_conf.replace(" ", "")
    if already or not evidence.on_cuda or evidence.platform.system != "linux" or not _is_fragmented(evidence):
        return None
    return Proposal(
        tip="expandable_segments",
        goal="memory",
        title=text("tip.expandable.title", "Memory growth: expandable segments"),
        why=sentences(evidence.memory_pressure, _idle(evidence)),
        change={"expandable_segments": True},
        memory=None,  # tensors stay what they are; what falls is the reserved memory
        costs=(
            text(
                "tip.expandable.cost",
                "Counts for new segments only. Sharing tensors between processes (CUDA IPC) does not work with them in "
                "some versions.",
            ),
        ),
        needs_restart=evidence.simulated or evidence.platform.torch < _RUNTIME_SETTER,
        safe=True,
        code=_code(evidence),
        weight=0.5,
    )


def _code(evidence: Evidence) -> tuple[Code, ...]:
    """A variable is read as a whole, so what it says already is said again."""
    conf = evidence.platform.alloc_conf
    settings = with_option(conf, _OPTION, "True")
    old, new = "PYTORCH_CUDA_ALLOC_CONF", "PYTORCH_ALLOC_CONF"
    name = new if evidence.platform.torch >= _NEW_NAME else old
    shell, plain = f'export {name}="{settings}"', f'os.environ["{name}"] = "{settings}"  # before the first use of CUDA'
    if conf and name == new:  # where both are set, the older name wins (torch 2.13)
        shell, plain = f"unset {old}\n{shell}", f'os.environ.pop("{old}", None)\n{plain}'
    return (
        Code("bigmodel_lab", "lab.fit(…, expandable_segments=True)", in_mid_run=not evidence.simulated),
        Code("shell", shell, in_mid_run=False),
        Code("plain", f"import os\n{plain}", in_mid_run=False),
    )


def _is_fragmented(evidence: Evidence) -> bool:
    """What was asked for would have fitted into what lay idle; or so little of the memory is used, or the cache had to go."""
    full, memory = evidence.out_of_memory, evidence.memory
    if full is not None and full.allocated_bytes is not None and full.reserved_bytes:
        idle = full.reserved_bytes - full.allocated_bytes
        return idle >= (full.requested_bytes or _IDLE_SHARE * full.reserved_bytes)
    gave_back = memory is not None and memory.alloc_retries > 0
    return evidence.memory_pressure is not None and (evidence.is_fragmented or gave_back)


def _idle(evidence: Evidence) -> str:
    full, memory = evidence.out_of_memory, evidence.memory
    if full is not None and full.reserved_bytes is not None and full.allocated_bytes is not None:
        reserved, allocated = full.reserved_bytes, full.allocated_bytes
    else:
        assert memory is not None
        reserved, allocated = memory.peak_reserved_bytes, memory.peak_allocated_bytes
    return text(
        "tip.expandable.why",
        "Of {reserved} that are reserved only {allocated} hold tensors: the rest lies in pieces between them.",
        reserved=format_bytes(reserved),
        allocated=format_bytes(allocated),
    )


TIP = Tip(propose)
