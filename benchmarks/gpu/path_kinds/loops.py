"""Loops that are not the library's: ``watch``, the callbacks of Lightning and Transformers, the search for a batch size."""

# ruff: noqa: SLF001 (what is inside is what is checked)

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import bigmodel_lab as lab
from benchmarks.gpu.path_kinds.base import (
    Blocks,
    Path,
    capped,
    folder,
    holds,
    rows,
    same,
    settings_of_process,
    state_of,
)
from bigmodel_lab.runlog import Status

_SMALL_MIB = 700
"""An emulated card takes its context and the driver's own share of it."""


def watched(*, workers: int = 0, pinned: bool = False, half: bool = False) -> str:
    """A plain loop with batches that come from the host; its run has the card's memory and its samples."""
    model = Blocks().cuda()
    optimizer = torch.optim.AdamW(model.parameters())
    scaler = torch.amp.GradScaler("cuda", enabled=half)
    loader = DataLoader(TensorDataset(*rows()), 64, num_workers=workers, pin_memory=pinned)
    with lab.watch(model, optimizer, runs_dir=folder(), sample_hz=10) as watch:
        for _ in range(4):
            for x, y in watch(loader):
                same("pinned", x.is_pinned(), pinned)
                with torch.autocast("cuda", torch.float16, enabled=half):
                    loss = nn.functional.cross_entropy(model(x.cuda(non_blocking=pinned)), y.cuda(non_blocking=pinned))
                optimizer.zero_grad()
                scaler.scale(loss).backward()
                scaler.step(optimizer)
                scaler.update()
                watch.log(loss=loss.detach())
        run = watch.run
    same("status", run.status, Status.FINISHED)
    same("steps", len(run.series("loss").value), 32)
    return f"32 steps, {workers} workers, pinned {pinned}, fp16 {half}; the run has {len(run.metrics())} metrics"


def lightning_callback(
    *, accumulated: int = 1, precision: Any = "32-true", on_oom: str = "raise", samples: int = 512
) -> str:
    """A Trainer of Lightning on the card."""
    import lightning

    class Module(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.model = Blocks()

        def training_step(self, batch: Any) -> Any:
            loss = nn.functional.cross_entropy(self.model(batch[0]), batch[1])
            self.log("train_loss", loss)
            return loss

        def configure_optimizers(self) -> Any:
            return torch.optim.AdamW(self.parameters())

    class Kept(lab.LightningCallback):  # type: ignore[misc, valid-type]  # Lightning is not always there
        def on_train_start(self, *both: Any) -> None:
            super().on_train_start(*both)
            kept.append(self.watch.run)

    kept: list[Any] = []
    quiet = {
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    trainer = lightning.Trainer(
        accelerator="cuda",
        devices=1,
        max_epochs=1,
        precision=precision,
        accumulate_grad_batches=accumulated,
        callbacks=[Kept(on_oom=on_oom, runs_dir=folder())],
        default_root_dir=folder(),
        **quiet,  # type: ignore[arg-type]
    )
    module = Module()
    batch = samples if on_oom == "shrink" else 64
    trainer.fit(module, DataLoader(TensorDataset(*rows(samples)), batch))
    return _told(kept[0], on_oom)


def transformers_callback(
    *, accumulated: int = 1, half: bool = False, on_oom: str = "raise", samples: int = 512
) -> str:
    """A Trainer of Transformers on the card."""
    import transformers

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = Blocks()

        def forward(self, x: Any, labels: Any = None) -> Any:
            scores = self.inner(x)
            return {"loss": nn.functional.cross_entropy(scores, labels), "logits": scores}

    class Kept(lab.TransformersCallback):  # type: ignore[misc, valid-type]  # Transformers is not always there
        def on_train_begin(self, *parts: Any, **more: Any) -> None:
            super().on_train_begin(*parts, **more)
            kept.append(self.watch.run)

    kept: list[Any] = []
    arguments = transformers.TrainingArguments(
        output_dir=folder(),
        num_train_epochs=1,
        per_device_train_batch_size=samples if on_oom == "shrink" else 64,
        gradient_accumulation_steps=accumulated,
        fp16=half,
        logging_steps=1,
        report_to=[],
        save_strategy="no",
        disable_tqdm=True,
        logging_nan_inf_filter=False,
    )
    x, y = rows(samples)
    told = [{"x": one, "labels": label} for one, label in zip(x, y, strict=True)]
    trainer = transformers.Trainer(Model(), arguments, train_dataset=told)
    Kept(on_oom=on_oom, runs_dir=folder()).attach(trainer)
    trainer.train()
    return _told(kept[0], on_oom)


def _told(run: Any, on_oom: str) -> str:
    same("status", run.status, Status.FINISHED)
    full = [event for event in run._source.events() if event.kind == "out_of_memory"]
    holds("a batch ran out of memory", bool(full) == (on_oom == "shrink"))
    return f"finished, {len(full)} requests that did not fit"


def limited(loop: Any, **settings: Any) -> str:
    """As the loop, on a card that is too small for its batch."""
    capped(_SMALL_MIB)
    return str(loop(on_oom="shrink", samples=8192, **settings))


def found_for_fit(precision: str = "fp32", **settings: Any) -> str:
    """The largest micro-batch of ``fit``'s loop, where the next larger ones do not run."""
    capped(_SMALL_MIB)
    model = Blocks().cuda()
    before = settings_of_process()
    weights = [(p.data_ptr(), p.grad) for p in model.parameters()]
    found = lab.find_batch_size(model, rows(16384), device="cuda:0", precision=precision, **settings)
    after = settings_of_process()
    same("settings of the process", after, before)
    same("weights where they were, no gradients", [(p.data_ptr(), p.grad) for p in model.parameters()], weights)
    torch.cuda.empty_cache()
    holds(f"{found.largest} runs", _runs(found.largest, precision))
    holds(f"{2 * found.largest} does not", not _runs(2 * found.largest, precision))
    return f"{found.largest} samples {precision}; they run, twice as many do not"


def _runs(size: int, precision: str) -> bool:
    try:
        lab.fit(
            Blocks(),
            rows(2 * size),
            micro_batch_size=size,
            max_steps=2,
            precision=precision,
            device="cuda:0",
            runs_dir=folder(),
            validation_fraction=0.0,
            test_fraction=0.0,
        )
    except torch.OutOfMemoryError:
        return False
    finally:
        torch.cuda.empty_cache()
    return True


def found_for_own(*, half: bool = False) -> str:
    """The largest micro-batch of a loop of one's own; model, optimizer, scaler and gradients are as before."""
    capped(_SMALL_MIB)
    model = Blocks().cuda()
    optimizer = torch.optim.NAdam(model.parameters())
    scaler = torch.amp.GradScaler("cuda") if half else None

    def step(model: nn.Module, batch: Any) -> Any:
        with torch.autocast("cuda", torch.float16, enabled=half):
            return nn.functional.cross_entropy(model(batch[0].cuda()), batch[1].cuda())

    step(model, [part[:8] for part in rows()]).backward()
    optimizer.step()
    before, process = state_of(model, optimizer), settings_of_process()
    loader = DataLoader(TensorDataset(*rows(16384)), 64, pin_memory=True)
    found = lab.find_batch_size(model, loader, step=step, optimizer=optimizer, scaler=scaler)
    same("state", state_of(model, optimizer), before)
    same("settings of the process", settings_of_process(), process)
    holds("gradients are there again", all(p.grad is not None for p in model.parameters()))
    holds("more than a few, fewer than all", 64 < found.largest < 16384)
    return f"{found.largest} samples{', fp16' if half else ''}; everything as before"


PATHS = (
    Path("watch: own loop", watched, judged_by_a_card="times"),
    Path(
        "watch: own loop, fp16, pinned memory, 2 workers",
        partial(watched, workers=2, pinned=True, half=True),
        judged_by_a_card="times",
    ),
    Path("Lightning callback", lightning_callback, needs=("lightning",)),
    Path(
        "Lightning callback, fp16, accumulated",
        partial(lightning_callback, accumulated=2, precision="16-mixed"),
        needs=("lightning",),
    ),
    Path(
        "Lightning callback, on_oom shrink",
        partial(limited, lightning_callback),
        total_mib=_SMALL_MIB,
        needs=("lightning",),
    ),
    Path("Transformers callback", transformers_callback, needs=("transformers", "accelerate")),
    Path(
        "Transformers callback, fp16, accumulated",
        partial(transformers_callback, accumulated=2, half=True),
        needs=("transformers", "accelerate"),
    ),
    Path(
        "Transformers callback, on_oom shrink",
        partial(limited, transformers_callback),
        total_mib=_SMALL_MIB,
        needs=("transformers", "accelerate"),
    ),
    Path("find_batch_size: fit", found_for_fit, total_mib=_SMALL_MIB),
    Path("find_batch_size: fit, fp16", partial(found_for_fit, "fp16"), total_mib=_SMALL_MIB),
    Path("find_batch_size: own loop", found_for_own, total_mib=_SMALL_MIB),
    Path("find_batch_size: own loop, fp16", partial(found_for_own, half=True), total_mib=_SMALL_MIB),
)
"""All of this file."""
