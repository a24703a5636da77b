"""What a view shows of a run's tips, and of a step that ran out of memory: texts, ready to be drawn."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from bigmodel_lab.i18n import Text, text
from bigmodel_lab.memory.categories import SHOWN, category_label, known, share_in_words
from bigmodel_lab.runlog.base import ProposalRecord
from bigmodel_lab.units import format_bytes
from bigmodel_lab.widgets._state import RunState
from bigmodel_lab.widgets._strings import TIP_STATE

_CARD: Mapping[str, Any] = {
    "title": "",
    "why": "",
    "goal": "speed",
    "predicted": (),
    "costs": (),
    "measured": (),
    "verdict": "",
    "can_apply": False,
    "can_undo": False,
    "restart": False,
    "simulated": False,
    "code": (),
}
"""What a card holds of a proposal, with what stands for a part that it has not."""
_REPLACEABLE = frozenset({"reverted", "undone"})
"""Nothing is left of these; a newer proposal of the same tip says more."""
_PHASES = {
    "forward": Text("held.forward", "forward pass"),
    "backward": Text("held.backward", "backward pass"),
    "optimizer": Text("held.optimizer", "optimizer step"),
    "evaluation": Text("held.evaluation", "evaluation"),
    "load": Text("held.load", "loading"),
}
_FACTS = {
    "requested_bytes": Text("held.requested", "Asked for"),
    "allocated_bytes": Text("held.allocated", "In use by tensors"),
    "reserved_bytes": Text("held.reserved", "Reserved by PyTorch"),
    "capacity_bytes": Text("held.capacity", "Most that this process can have"),
}
_WAITS = Text(
    "held.waits",
    "The step waits, and everything that it had changed is put back. Apply a tip, or stop: the original error is raised.",
)
_ENDED = Text("held.ended", "The run has ended since.")
_GOES_ON = {
    "shrink": Text("held.shrink", "The step is made again with a smaller micro-batch."),
    "raise": Text("held.raise", "The run ends with the original error."),
    "checkpoint": Text("held.checkpoint", "The training state is saved, and the run ends with the original error."),
}


def cards(records: Iterable[ProposalRecord]) -> list[dict[str, Any]]:
    """A card for each proposal that stands, in the order of their numbers, values of JSON.

    Args:
        records: Every proposal of the run. What was withdrawn has no card, nor has what was taken back or undone where
            the same tip was proposed again later.
    """
    standing = sorted((one for one in records if one.state != "withdrawn"), key=lambda one: one.id)
    newest = {one.tip: one.id for one in standing}
    return [_card(one) for one in standing if one.state not in _REPLACEABLE or newest[one.tip] == one.id]


def _card(record: ProposalRecord) -> dict[str, Any]:
    parts = {name: record.data.get(name, missing) for name, missing in _CARD.items()}
    plain = {name: list(part) if isinstance(part, tuple) else part for name, part in parts.items()}
    return {"id": record.id, "tip": record.tip, "state": record.state, **plain}


def top_lines(records: Iterable[ProposalRecord], most: int = 3) -> list[tuple[str, str]]:
    """Title and numbers of the first tips that are proposed or in force: predicted ones, or those that were measured.

    Args:
        records: Every proposal of the run.
        most: Most tips.
    """
    shown = [card for card in cards(records) if card["state"] in {"proposed", "kept"}]
    return [(_title(card), " · ".join(card["measured"] or card["predicted"])) for card in shown[:most]]


def _title(card: Mapping[str, Any]) -> str:
    if card["state"] == "proposed":
        return str(card["title"])
    return text("picture.tip_state", "{title} ({state})", title=card["title"], state=TIP_STATE[card["state"]])


def held(state: RunState) -> dict[str, Any] | None:
    """What is told of the step that ran out of memory, values of JSON; None where none did.

    Args:
        state: Where the run stands.
    """
    full = state.out_of_memory
    if full is None:
        return None
    return {
        "title": _held_title(full),
        "sentence": _sentence(full, ended=state.status.ended),
        "facts": [[str(label), format_bytes(full[key])] for key, label in _FACTS.items() if full.get(key) is not None],
        "categories": _categories(full.get("by_category") or {}),
        "message": str(full.get("message", "")),
        "waits": _waits(full) and not state.status.ended,
    }


def held_line(state: RunState) -> str:
    """The same as one line of text; empty where no step waits."""
    told = held(state)
    return f"{told['title']}. {told['sentence']}" if told is not None and told["waits"] else ""


def _waits(full: Mapping[str, Any]) -> bool:
    return full.get("waits") is True


def _held_title(full: Mapping[str, Any]) -> str:
    step, phase = int(full.get("step", 0)) + 1, str(full.get("phase", ""))
    return text("held.title", "Out of GPU memory at step {step}, {phase}", step=step, phase=_PHASES.get(phase, phase))


def _sentence(full: Mapping[str, Any], *, ended: bool) -> str:
    if ended:
        return str(_ENDED)
    return str(full.get("sentence") or (_WAITS if _waits(full) else _GOES_ON.get(str(full.get("action")), "")))


def _categories(sizes: Mapping[str, int]) -> list[dict[str, Any]]:
    """Each kind of memory in the order in which pictures stack them, with its share of their sum."""
    whole = sum(sizes.values())
    order = sorted((name for name, size in sizes.items() if size > 0), key=lambda name: SHOWN.index(known(name)))
    return [
        {
            "name": known(name),
            "label": category_label(name),
            "bytes": sizes[name],
            "text": f"{format_bytes(sizes[name])} ({share_in_words(sizes[name], whole)})",
            "share": round(sizes[name] / whole, 4),
        }
        for name in order
    ]
