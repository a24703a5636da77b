"""``lab.fit`` on a card: number formats, memory settings, optimizers, background, checkpoints, answers."""

# ruff: noqa: SLF001 (what is inside is what is checked)

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from functools import partial
from itertools import permutations
from typing import Any

import torch
from torch import nn

import bigmodel_lab as lab
from benchmarks.gpu.path_kinds.base import (
    MIB,
    Blocks,
    Images,
    Path,
    fitted,
    folder,
    holds,
    peak_of,
    pictures,
    rows,
    same,
    settings_of_process,
    state_of,
    trainer_of,
)
from bigmodel_lab.estimate._of_run import estimate_run, resident_bytes
from bigmodel_lab.memory.cards import cublas_workspace_bytes
from bigmodel_lab.runlog import Status
from bigmodel_lab.training import resolve_precision
from bigmodel_lab.training.optimizers import MATRICES_ONLY, optimizer_classes

NUMBERS = "losses and gradients"
_OPTIONS: tuple[dict[str, Any], ...] = (
    {},
    {"foreach": False},
    {"foreach": True},
    {"fused": True},
    {"capturable": True},
)


def precision(name: str) -> str:
    """The format is that of the card, weights stay in fp32 on it, and the person's settings come back."""
    before = settings_of_process()
    run = fitted(precision=name, epochs=20, sample_hz=10)
    trainer = trainer_of(run)
    same("settings of the process", settings_of_process(), before)
    capability = torch.cuda.get_device_capability(0)
    same("precision", trainer.precision.name, resolve_precision(name, "cuda:0", capability).name)
    held = {(str(p.device), p.dtype) for p in run.model.parameters()}
    same("weights", held, {("cuda:0", torch.float32)})
    holds("the run file has what PyTorch holds of the card", (run.last("allocated_bytes") or 0) > 0)
    return f"{trainer.precision.name}, {trainer.steps_made} steps, fp32 weights on the card, process as before"


def checkpointing() -> str:
    """Less memory, and the modules as they were."""
    names = ("*",)
    large = partial(fitted, data=rows(4096), micro_batch_size=2048, max_steps=2)
    plain = peak_of(large)
    less = peak_of(partial(large, activation_checkpointing=names))
    holds(f"checkpointed {less} is below {plain}", less < 0.8 * plain)
    return f"peak {plain / MIB:.0f} → {less / MIB:.0f} MiB"


def offload() -> str:
    """Less memory on the card; what waits is pinned."""
    large = partial(fitted, data=rows(4096), micro_batch_size=2048, max_steps=2)
    plain = peak_of(large)
    less = peak_of(partial(large, activation_offload=True))
    holds(f"offloaded {less} is below {plain}", less < 0.8 * plain)
    return f"peak {plain / MIB:.0f} → {less / MIB:.0f} MiB"


def accumulation() -> str:
    """Quarter micro-batches take less, and make as many steps."""
    whole = partial(fitted, data=rows(4096), micro_batch_size=2048, max_steps=2)
    plain = peak_of(whole)
    parts = partial(fitted, data=rows(4096), micro_batch_size=512, gradient_accumulation_steps=4, max_steps=2)
    less = peak_of(parts)
    holds(f"accumulated {less} is below {plain}", less < 0.7 * plain)
    same("steps", trainer_of(parts()).steps_made, 2)
    return f"peak {plain / MIB:.0f} → {less / MIB:.0f} MiB, 2 steps each"


def optimizer(name: str) -> str:
    """Each kind of this optimizer trains, and is switched to each other kind and back: its state lies as in a new one."""
    kinds = [options for options in _OPTIONS if _accepts(name, options)]
    freeze = ("*bias",) if name in MATRICES_ONLY else ()
    fresh = {}
    for options in kinds:
        run = fitted(Blocks(blocks=2), optimizer=name, optimizer_options=options, freeze=freeze, max_steps=3)
        fresh[str(options)] = state_of(run.model, trainer_of(run).optimizer)
    trainer = trainer_of(run)
    for before, after in [pair for one in permutations(kinds, 2) for pair in (one, one[::-1])]:
        trainer.switch(replace(trainer.config, optimizer_options=before))
        trainer.switch(replace(trainer.config, optimizer_options=after))
        with trainer.computing():
            trainer.make_step(trainer.upcoming(1)[0])
        found = state_of(trainer.model, trainer.optimizer)
        for part in ("optimizer", "groups", "scales"):
            same(f"{before} → {after}, {part}", _without_counts(found[part]), _without_counts(fresh[str(after)][part]))
    return f"{', '.join(map(str, kinds))}; all switches: devices and formats of all states as in a new one"


def _without_counts(values: Any) -> Any:
    """Numbers of Python that count steps differ from run to run."""
    if isinstance(values, list):
        return [{k: v for k, v in one.items() if k not in {"lr", "func_evals", "n_iter"}} for one in values]
    return values


def _accepts(name: str, options: dict[str, Any]) -> bool:
    try:
        optimizer_classes()[name]([nn.Parameter(torch.zeros(2, 2, device="cuda"))], **options)
    except (TypeError, RuntimeError):
        return False
    return True


def fused_scaler() -> str:
    """fp16 with fused kernels that are taken back in the middle: the scaler unscales again by itself."""
    run = fitted(optimizer="adamw", optimizer_options={"fused": True}, precision="fp16", max_steps=2)
    trainer = trainer_of(run)
    trainer.switch(replace(trainer.config, optimizer_options={"foreach": False}))
    with trainer.computing():
        trainer.make_step(trainer.upcoming(1)[0])
    return "a step behind the change, with the scaler of before"


def allocator() -> str:
    """Growing segments are used and a cap holds; both are the person's own again afterwards."""
    before = settings_of_process()
    fitted(expandable_segments=True)
    holds("a segment grows", any(segment["is_expandable"] for segment in torch.cuda.memory_snapshot()))
    fitted(memory_fraction=0.5)
    same("fraction", torch.cuda.get_per_process_memory_fraction(0), before["fraction"])
    return "segments grow, cap of 0.5 in force and taken back"


def channels_last() -> str:
    """Weights and batches by channel."""
    run = fitted(Images(), pictures(), channels_last=True)
    kernel = run.model.features[0].weight
    holds("kernel by channel", kernel.is_contiguous(memory_format=torch.channels_last))
    return "kernels by channel"


def data_on_device() -> str:
    """Samples lie on the card from beginning to end."""
    run = fitted()
    trainer = trainer_of(run)
    x, y = trainer._train.take(torch.arange(4, device="cuda"))
    same("batch", (x.device.type, y.device.type), ("cuda", "cuda"))
    return f"{resident_bytes(trainer.data)} bytes of samples"


def background() -> str:
    """Pause, resume, stop, go on; the card is idle while it is paused."""
    run = lab.fit(Blocks(), rows(), epochs=100_000, device="cuda:0", background=True, runs_dir=folder())
    _until(lambda: run._trainer.steps_made > 5)
    run.pause()
    _until(lambda: run.status is Status.PAUSED)
    made = run._trainer.steps_made
    time.sleep(0.3)
    same("steps while paused", run._trainer.steps_made, made)
    run.evaluate("validation")
    run.resume()
    _until(lambda: run._trainer.steps_made > made + 5)
    run.stop()
    run.wait()
    same("status", run.status, Status.STOPPED)
    run.resume()
    _until(lambda: run.status is Status.RUNNING)
    run.stop()
    run.wait()
    return f"paused at step {made}, evaluated, resumed, stopped, gone on, stopped"


def resume() -> str:
    """From a checkpoint, with the states where a run that was not interrupted has them."""
    seen = []
    for name, options in (("adamw", {}), ("adamw", {"fused": True}), ("nadam", {}), ("asgd", {})):
        first = fitted(checkpoint="every_epoch", optimizer=name, optimizer_options=options, precision="fp16")
        trained = state_of(first.model, trainer_of(first).optimizer)
        second = lab.resume(first.path, model=Blocks(), data=rows(), epochs=2)
        went_on = state_of(second.model, trainer_of(second).optimizer)
        same(f"states of {name}", went_on["optimizer"], trained["optimizer"])
        seen.append(f"{name} {options or ''}".strip())
    lab.load_weights(Blocks(), first.path)
    return f"{', '.join(seen)}: states where they were, {trainer_of(second).steps_made} steps"


def answers() -> str:
    """Evaluation, report, prediction, cost and heat map of a trained model."""
    run = fitted(Images(), pictures())
    run.evaluate("test")
    answered = run.predict(pictures(3)[0])
    same("predictions", len(answered), 3)
    costs = run.inference_cost((1, 8))
    holds("a peak for each size", all((cost.peak_bytes or 0) > 0 for cost in costs.batches))
    run.explain(pictures(1)[0][0])
    return "evaluate, predict, inference_cost, explain"


def searches() -> str:
    """Learning rate, sweep and cross-validation leave the card as it was."""
    clean_before = torch.cuda.memory_allocated()
    lab.find_learning_rate("mlp", device="cuda:0")
    lab.cross_validate("mlp", folds=2, epochs=1, device="cuda:0")
    holds("nothing piles up", torch.cuda.memory_allocated() - clean_before < 80 * MIB)
    return "find_learning_rate, cross_validate"


def awaited() -> str:
    """``fit_async`` on a card."""
    run = asyncio.run(lab.fit_async(Blocks(), rows(), max_steps=3, device="cuda:0", runs_dir=folder()))
    same("status", run.status, Status.FINISHED)
    return "3 steps"


def workspaces(*hows: bool) -> str:
    """The estimate of a run counts as many workspaces of cuBLAS as PyTorch has made."""
    size = cublas_workspace_bytes(torch.cuda.get_device_capability(0))
    found = []
    for in_background in hows:
        run = fitted(max_steps=3, background=in_background)
        blocks = [b for s in torch.cuda.memory_snapshot() for b in s["blocks"] if b["state"] == "active_allocated"]
        made = sum(block["requested_size"] == size for block in blocks)
        trainer, card = trainer_of(run), run._place.card()
        traced = estimate_run(trainer, card).trace.allocations
        counted = sum(one.maker == "cuBLAS workspace" for one in traced)
        same(f"workspaces, background {in_background}", counted, made)
        found.append(f"{'background' if in_background else 'foreground'} {made}")
    return ", then ".join(found)


def _until(ready: Any, seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds:.0f} s")
        time.sleep(0.01)


PATHS = (
    *(
        Path(f"fit {name}", partial(precision, name), judged_by_a_card=NUMBERS)
        for name in ("fp32", "tf32", "bf16", "fp16")
    ),
    Path("fit with activation checkpointing", checkpointing, judged_by_a_card=NUMBERS),
    Path("fit with activation offload", offload, judged_by_a_card="overlap of the copies"),
    Path("fit with gradient accumulation", accumulation, judged_by_a_card=NUMBERS),
    *(
        Path(
            f"fit {name}, all kinds and switches",
            partial(optimizer, name),
            judged_by_a_card="the weights that come out",
        )
        for name in optimizer_classes()
        if name != "lbfgs"
    ),
    Path("fit fp16, fused kernels taken back", fused_scaler, judged_by_a_card="gradients that overflow"),
    Path("fit with expandable segments and a cap", allocator),
    Path("fit with channels_last", channels_last, judged_by_a_card="speed"),
    Path("fit with its data on the card", data_on_device),
    Path("fit in the background: pause, resume, stop", background),
    Path("fit_async", awaited),
    Path("checkpoint and resume", resume, judged_by_a_card="equal losses"),
    Path("answers of a trained model", answers, judged_by_a_card="values, latency"),
    Path("searches", searches, judged_by_a_card="what they find"),
    Path("estimate of a run: workspaces, foreground", partial(workspaces, False)),
    Path("estimate of a run: workspaces, background twice, then foreground", partial(workspaces, True, True, False)),
)
"""All of this file."""
