"""``advise``: what would help a run, or a step that was only estimated."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import Any

from bigmodel_lab._table import Table
from bigmodel_lab.api._run import Run
from bigmodel_lab.api._tip_cards import FRAMEWORKS, card_data, predicted_lines, predicted_shortly
from bigmodel_lab.api._tips import elsewhere
from bigmodel_lab.api._training_run import TrainingRun
from bigmodel_lab.errors import ConfigError, UnknownNameError
from bigmodel_lab.estimate import MemoryEstimate
from bigmodel_lab.estimate._generate import new_tokens_of
from bigmodel_lab.i18n import text
from bigmodel_lab.tips._advisor import advise as ask
from bigmodel_lab.tips._evidence import platform
from bigmodel_lab.tips._model import model_facts
from bigmodel_lab.tips._predict import Predictor
from bigmodel_lab.tips._recorded import evidence_of_record
from bigmodel_lab.tips.base import Evidence, Proposal
from bigmodel_lab.training import TrainConfig
from bigmodel_lab.training.checkpointing import EVERY_BLOCK


class Advice:
    """Tips in order, the most useful first; shows itself as a table, in a terminal and in a notebook.

    Made by :func:`bigmodel_lab.advise`.
    """

    def __init__(
        self, proposals: tuple[Proposal, ...], title: str, *, simulated: bool = False, by_click: bool = True
    ) -> None:
        self.proposals = proposals
        """The tips, each with the change, what is expected of it, and what it may cost."""
        self._title, self._simulated, self._by_click = title, simulated, by_click

    def __iter__(self) -> Iterator[Proposal]:
        return iter(self.proposals)

    def __len__(self) -> int:
        return len(self.proposals)

    def __getitem__(self, tip: str | int) -> Proposal:
        """A tip by its name or its place.

        Raises:
            UnknownNameError: It was not given.
        """
        if isinstance(tip, int):
            return self.proposals[tip]
        named = {proposal.tip: proposal for proposal in self.proposals}
        if tip not in named:
            raise UnknownNameError(text("advice.kind", "tip given here"), tip, named)
        return named[tip]

    def table(self) -> Table:
        """One row a tip."""
        heads = (
            text("advice.tip", "tip"),
            text("advice.what", "what"),
            text("advice.expected", "expected"),
            text("advice.how", "applied"),
        )
        rows = tuple((one.tip, one.title, predicted_shortly(one), self._how(one)) for one in self.proposals)
        return Table(heads, rows, title=self._title)

    def as_json(self) -> list[dict[str, Any]]:
        """Every tip in values of JSON."""
        return [{"tip": one.tip, **card_data(one, simulated=self._simulated)} for one in self.proposals]

    def details(self) -> str:
        """Each tip in full: why, costs, and the code for each framework."""
        return "\n\n".join(map(_in_full, self.proposals)) or self._nothing()

    def __str__(self) -> str:
        return self.table().text() if self.proposals else self._nothing()

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        if not self.proposals:
            return f"<p>{escape(self._nothing())}</p>"
        blocks = (
            f"<details><summary>{escape(one.tip)}: {escape(one.title)}</summary>"
            f'<pre style="color:inherit;background:none;white-space:pre-wrap">{escape(_in_full(one))}</pre></details>'
            for one in self.proposals
        )
        return self.table().html() + "".join(blocks)

    def _how(self, proposal: Proposal) -> str:
        if proposal.can_apply and self._by_click:
            return text("advice.by_click", "by a click")
        return text("advice.restart", "in a new run") if proposal.needs_restart else text("advice.by_hand", "by hand")

    def _nothing(self) -> str:
        return text("advice.nothing", "{title}: nothing to improve that is known here.", title=self._title)


def advise(run: Run | MemoryEstimate) -> Advice:
    """What would help: tips with their evidence, their predicted effect, and what they may cost.

    The tips of a run that is training in the background are applied by ``run.apply(tip)``, or by a click in its dashboard.

    Args:
        run: A run of :func:`bigmodel_lab.fit` (not while a step is running in another cell's way: it is asked between two
            steps), one that was recorded, or an estimate of :func:`bigmodel_lab.estimate_memory`.

    Raises:
        ConfigError: It is neither.

    >>> import bigmodel_lab as lab
    >>> advice = lab.advise(lab.estimate_memory("gpt2", micro_batch_size=8, gpu="T4"))
    >>> [tip.tip for tip in advice][:2]
    ['micro_batch_down', 'fp16']
    >>> advice["micro_batch_down"].change["micro_batch_size"]
    4
    """
    if isinstance(run, MemoryEstimate):
        return _of_estimate(run)
    if isinstance(run, TrainingRun):
        proposals = run.tips()
        return Advice(proposals, _title(run.name), simulated=run.header["origin"] == "simulated")
    if isinstance(run, Run):
        evidence = evidence_of_record(run.source)
        return Advice(ask(evidence), _title(run.name), simulated=evidence.simulated, by_click=False)
    raise ConfigError(
        text(
            "advise.kind",
            "advise takes a run or an estimate, not {kind}: lab.advise(lab.fit(…)), lab.advise(lab.open_run(path)), or "
            "lab.advise(lab.estimate_memory(…)).",
            kind=type(run).__name__,
        )
    )


def _title(name: str) -> str:
    return text("advice.title", "Tips for {name}", name=name)


def _in_full(proposal: Proposal) -> str:
    lines = [f"{proposal.tip}: {proposal.title}", proposal.why, *predicted_lines(proposal), *proposal.costs]
    for one in proposal.code:
        label = str(FRAMEWORKS.get(one.framework, one.framework))
        lines += [f"{label}:", *(f"    {line}" for line in one.text.splitlines())]
    return "\n".join(lines)


def _of_estimate(estimate: MemoryEstimate) -> Advice:
    plan = estimate.plan
    config = TrainConfig(
        micro_batch_size=plan.micro_batch_size,
        gradient_accumulation_steps=plan.gradient_accumulation_steps,
        optimizer=plan.optimizer if isinstance(plan.optimizer, str) else "adamw",
        optimizer_options=plan.optimizer_options,
        precision=plan.precision,  # type: ignore[arg-type]
        activation_checkpointing=_names(plan.checkpointing),
        activation_offload=plan.offload,
    )
    new_tokens = new_tokens_of(plan.step)
    evidence = Evidence(
        config=config,
        accelerator="cuda",
        card=estimate.card,
        simulated=True,
        predictor=Predictor(estimate, config),
        model=model_facts(plan.model()),
        platform=platform(),
        mode="train" if plan.is_training else "inference" if new_tokens is None else "generate",
        new_tokens=new_tokens,
    )
    proposals = elsewhere(lambda: ask(evidence))
    return Advice(proposals, _title(plan.source.name), simulated=True, by_click=False)


def _names(checkpointing: bool | tuple[str, ...]) -> tuple[str, ...]:
    return checkpointing if isinstance(checkpointing, tuple) else (EVERY_BLOCK if checkpointing else ())
