"""Steps that do not fit into the card's memory: real errors of PyTorch's allocator, and what becomes of the run."""

# ruff: noqa: SLF001 (what is inside is what is checked)

from __future__ import annotations

from functools import partial
from typing import Any

import torch

import bigmodel_lab as lab
from benchmarks.gpu.path_kinds.base import MIB, Blocks, Path, capped, clean, folder, holds, rows, same, trainer_of
from bigmodel_lab.api._fit import prepare
from bigmodel_lab.memory.cards import cublas_workspace_bytes
from bigmodel_lab.runlog import Status

_SMALL_MIB = 700
_TOO_LARGE = 16_384
"""Samples whose step does not fit into so small a card, while a quarter of them does."""

_STATES_MIB, _REST_MIB = 240, 45
"""Weights, gradients and both states of the model whose optimizer runs out; room for one tensor more, not for all of them."""


def _settings(**more: Any) -> dict[str, Any]:
    usual = {"micro_batch_size": _TOO_LARGE, "max_steps": 2, "device": "cuda:0", "runs_dir": folder()}
    return {**usual, "validation_fraction": 0.0, "test_fraction": 0.0, **more}


def raised(on_oom: str, *, background: bool = False) -> str:
    """The run fails with PyTorch's own error, says so in its file, and leaves the card as it was."""
    capped(_SMALL_MIB)
    clean()
    before = torch.cuda.memory_allocated()
    where = folder()
    try:
        run = lab.fit(Blocks(), rows(_TOO_LARGE), on_oom=on_oom, background=background, **_settings(runs_dir=where))
        run.wait()
    except torch.OutOfMemoryError as error:
        note = " ".join(getattr(error, "__notes__", ["bigmodel_lab"]))
        holds("the error says what would help", "bigmodel_lab" in note)
        message = str(error).split(".")[0]
    else:
        raise AssertionError(f"{_TOO_LARGE} samples fit")
    run = None  # the error is gone with its handler
    clean()
    left = torch.cuda.memory_allocated() - before
    (recorded,) = lab.runs(where)
    same("status", lab.open_run(recorded.path).status, Status.FAILED)
    holds(f"{left} bytes are left on the card", left < MIB)
    return f"{message}; run failed, nothing is left on the card"


def shrunk(precision: str = "fp32", **settings: Any) -> str:
    """Smaller micro-batches, the same samples behind each step, and the run ends well."""
    capped(_SMALL_MIB)
    run = lab.fit(Blocks(), rows(_TOO_LARGE), on_oom="shrink", precision=precision, **_settings(**settings))
    same("status", run.status, Status.FINISHED)
    same("samples of a step", run.config.effective_batch_size, _TOO_LARGE)
    holds("smaller", run.config.micro_batch_size < _TOO_LARGE)
    full = [event.data["phase"] for event in run._source.events() if event.kind == "out_of_memory"]
    holds("it is recorded", full)
    return f"{_TOO_LARGE} → {run.config.micro_batch_size}, {len(full)} requests that did not fit ({', '.join(sorted(set(full)))})"


def asked() -> str:
    """The step is held until a tip is applied by somebody else, then made again."""
    capped(_SMALL_MIB)
    given = _settings(on_oom="ask")
    where = given.pop("runs_dir")
    run = prepare(Blocks(), rows(_TOO_LARGE), given, runs_dir=where)
    desk = run._tips
    attach = desk.attach
    desk.attach = lambda log, **_: attach(log, in_notebook=True, background=True)  # type: ignore[method-assign]
    import time

    run.start(background=True)
    end = time.monotonic() + 100
    while time.monotonic() < end and not any(p.state == "proposed" for p in run.proposals()) and not run.status.ended:
        time.sleep(0.05)
    offered = [record.tip for record in run.proposals()]
    holds(f"a smaller micro-batch is offered among {offered}, {run.status}", "micro_batch_down" in offered)
    record = run.apply("micro_batch_down")
    run.wait()
    same("status", run.status, Status.FINISHED)
    holds("smaller", run.config.micro_batch_size < _TOO_LARGE)
    return f"offered {', '.join(offered)}; micro_batch_down {record.state}, {run.config.micro_batch_size} samples ran"


def evaluated() -> str:
    """An evaluation that does not fit takes fewer samples at once."""
    capped(_SMALL_MIB)
    settings = _settings(
        micro_batch_size=512, validation_fraction=0.5, evaluation_batch_size=24_576, epochs=1, max_steps=None
    )
    run = lab.fit(Blocks(), rows(40_000), on_oom="shrink", **settings)
    same("status", run.status, Status.FINISHED)
    holds("fewer at once", (run.config.evaluation_batch_size or 0) < 24_576)
    return f"24576 → {run.config.evaluation_batch_size} samples at once"


def optimizer_full() -> str:
    """An optimizer that has no memory for its lists works tensor by tensor; weights and states are whole."""
    workspaces = 2 * cublas_workspace_bytes(torch.cuda.get_device_capability(0)) // MIB
    capped(_STATES_MIB + workspaces + _REST_MIB)
    run = lab.fit(
        Blocks(blocks=3, inner=38),
        rows(256),
        on_oom="shrink",
        optimizer="adamw",
        **_settings(micro_batch_size=64, max_steps=3),
    )
    same("status", run.status, Status.FINISHED)
    full = [event.data["phase"] for event in run._source.events() if event.kind == "out_of_memory"]
    holds(f"only the optimizer ran out: {full}", set(full) == {"optimizer"})
    trainer = trainer_of(run)
    devices = {str(state["step"].device) for state in trainer.optimizer.state.values()}
    same("counts of steps", devices, {"cpu"})
    return f"{full}, options {dict(run.config.optimizer_options)}"


def not_loaded() -> str:
    """A model larger than the card: PyTorch's error, before anything is trained."""
    capped(_SMALL_MIB)
    try:
        lab.fit(Blocks(blocks=3, inner=256), rows(), **_settings(micro_batch_size=64))
    except torch.OutOfMemoryError as error:
        return str(error).split(".")[0]
    raise AssertionError("it fits")


PATHS = (
    *(Path(f"on_oom {name}", partial(raised, name), total_mib=_SMALL_MIB) for name in ("raise", "auto", "ask")),
    Path("on_oom raise in the background", partial(raised, "raise", background=True), total_mib=_SMALL_MIB),
    Path("on_oom shrink", shrunk, total_mib=_SMALL_MIB),
    Path("on_oom shrink, fp16", partial(shrunk, "fp16"), total_mib=_SMALL_MIB, judged_by_a_card="equal losses"),
    Path("on_oom shrink, expandable segments", partial(shrunk, expandable_segments=True), total_mib=_SMALL_MIB),
    Path("on_oom ask, answered by a click", asked, total_mib=_SMALL_MIB),
    Path("on_oom shrink, evaluation", evaluated, total_mib=_SMALL_MIB),
    Path("on_oom shrink, optimizer", optimizer_full),
    Path("a model that does not fit", not_loaded, total_mib=_SMALL_MIB),
)
"""All of this file."""
