"""Every tip that a click carries out: rehearsed, applied, undone; afterwards everything lies as before."""

# ruff: noqa: SLF001 (what is inside is what is checked)

from __future__ import annotations

from functools import partial
from typing import Any

import torch

from benchmarks.gpu.path_kinds.base import (
    Images,
    Path,
    holds,
    pictures,
    same,
    settings_of_process,
    state_of,
)
from bigmodel_lab.api._fit import prepare
from bigmodel_lab.runlog import Status
from bigmodel_lab.tips import TIPS
from bigmodel_lab.tips.base import Proposal
from bigmodel_lab.training.changing import changed

CHANGES: dict[str, dict[str, Any]] = {
    "activation_checkpointing": {"activation_checkpointing": ("features",)},
    "activation_offload": {"activation_offload": True},
    "bf16": {"precision": "bf16"},
    "channels_last": {"channels_last": True},
    "compile": {"compile": True},
    "early_stopping": {"early_stopping": 3},
    "expandable_segments": {"expandable_segments": True},
    "foreach_off": {"optimizer_options": {"foreach": False}},
    "fp16": {"precision": "fp16"},
    "fused_optimizer": {"optimizer_options": {"fused": True}},
    "learning_rate": {"learning_rate": 5e-4},
    "memory_cap": {"memory_fraction": 0.5},
    "micro_batch_down": {"micro_batch_size": 16},
    "micro_batch_up": {"micro_batch_size": 64},
    "tf32": {"precision": "tf32"},
    "throughput_knee": {"micro_batch_size": 16},
}
"""What a click on each tip changes; the others tell people what to do themselves."""
_COMPILES = ("triton",)


class Between:
    """Does something once, between two steps of a run, on the thread that trains; fails with the run."""

    def __init__(self, job: Any) -> None:
        self.job, self.said = job, ""

    def epoch_ended(self, trainer: Any, end: Any) -> str | None:
        """Behind the first epoch."""
        if end.epoch == 1:
            self.said = self.job(trainer)
        return None


def applied(name: str) -> str:
    """The rehearsal of a tip leaves no trace, and neither does the change when it is undone."""
    told = {}

    def job(trainer: Any) -> str:
        with torch.no_grad():
            trainer.optimizer.zero_grad(set_to_none=True)
        before, process = state_of(trainer.model, trainer.optimizer), settings_of_process()
        config = trainer.config
        desk = run._tips
        desk._board.show((Proposal(name, "memory", f"{name}, tried", "To see it.", change=CHANGES[name]),))
        number = desk.number_of(name)
        desk.apply(number)
        record = next(one for one in run._log.proposals() if one.id == number)
        if "Error" in str(record.data.get("verdict")):
            raise AssertionError(record.data["verdict"])
        if trainer.config != config:
            desk.undo(number)
        _as_before(trainer, config, before, process, "rehearsed")
        del process["random"]  # the steps that are made now draw from them
        trainer.change(changed(config, CHANGES[name]))
        for indices in trainer.upcoming(2):
            trainer.make_step(indices)
        trainer.change(changed(trainer.config, {field: getattr(config, field) for field in CHANGES[name]}))
        trainer.make_step(trainer.upcoming(1)[0])
        trainer.optimizer.zero_grad(set_to_none=True)
        _as_before(trainer, config, before, process, "applied and undone")
        told["state"] = record.state
        return str(record.state)

    between = Between(job)
    settings = {"device": "cuda:0", "epochs": 2, "micro_batch_size": 32, "gradient_accumulation_steps": 2}
    run = prepare(Images(), pictures(), settings, observers=(between,))
    run.start()
    same("status", run.status, Status.FINISHED)
    return f"{between.said} when measured; devices and formats of all states, settings and allocator as before, random numbers as well behind the rehearsal"


def _as_before(trainer: Any, config: Any, before: dict[str, Any], process: dict[str, Any], when: str) -> None:
    same(f"{when}: settings of the run", trainer.config, config)
    after = state_of(trainer.model, trainer.optimizer)
    for part, value in before.items():
        same(f"{when}: {part}", after[part], value)
    now = settings_of_process()
    for part, value in process.items():
        same(f"{when}: {part} of the process", _switched_off(now[part]), _switched_off(value))


def _switched_off(value: Any) -> Any:
    """Growing segments that are switched off are those that nobody has asked for."""
    return value.replace("expandable_segments:False", "").strip(",") if isinstance(value, str) else value


def asked() -> str:
    """Every tip looks at the evidence of a run on the card and answers, or is silent."""
    said: list[str] = []

    def job(trainer: Any) -> str:
        evidence = run._tips.evidence()
        holds("the card is known", evidence.card is not None)
        holds("the memory is measured", evidence.memory is not None)
        proposals = {name: TIPS.get(name).propose(evidence) for name in TIPS.names()}
        said.extend(name for name, proposal in proposals.items() if proposal is not None)
        same("settings", run.config, trainer.config)
        return f"{len(proposals)} asked, these speak: {', '.join(said)}"

    between = Between(job)
    run = prepare(Images(), pictures(), {"device": "cuda:0", "epochs": 2, "micro_batch_size": 32}, observers=(between,))
    run.start()
    same("status", run.status, Status.FINISHED)
    return between.said


def auto() -> str:
    """``auto`` applies what is safe between two steps, and the run ends well."""

    def job(_trainer: Any) -> str:
        run._tips.refresh()
        return ", ".join(f"{record.tip} {record.state}" for record in run._log.proposals())

    between = Between(job)
    settings = {"device": "cuda:0", "epochs": 2, "micro_batch_size": 32, "memory_fraction": 0.9}
    run = prepare(Images(), pictures(), settings, observers=(between,), auto=True)
    run.start()
    same("status", run.status, Status.FINISHED)
    return between.said or "nothing was proposed"


PATHS = (
    Path("tips: all are asked", asked),
    Path("tips: auto", auto, judged_by_a_card="what is kept"),
    *(
        Path(
            f"tip {name}: rehearsed, applied, undone",
            partial(applied, name),
            needs=_COMPILES if name == "compile" else (),
            judged_by_a_card="the measured effect",
        )
        for name in CHANGES
    ),
)
"""All of this file."""
