"""A change in the words of the frameworks that people use, with their values.

Names as in PyTorch 2.13, Transformers 5, Lightning 2.6, Accelerate 1.15 and Diffusers 0.3x; a test holds those that can
be looked up in the installed packages.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from bigmodel_lab.i18n import text
from bigmodel_lab.tips.base import Code, Evidence, Mode, Proposal
from bigmodel_lab.training import TrainConfig
from bigmodel_lab.training.checkpointing import EVERY_BLOCK
from bigmodel_lab.training.optimizers import optimizer_classes

Lines = Callable[[TrainConfig, TrainConfig, Mode], dict[str, tuple[str, bool]]]
"""Maps (settings before, after, what is done with the model) to (code, can be done in mid-run) by framework."""

_ORDER = ("bigmodel_lab", "plain", "transformers", "lightning", "accelerate", "diffusers", "shell")


def code_for(proposal: Proposal, evidence: Evidence) -> tuple[Code, ...]:
    """The proposal as lines to copy, for each framework that can do it; that of the evidence first.

    Args:
        proposal: Any; one that brings its own lines keeps them.
        evidence: Whose settings it changes.

    >>> from bigmodel_lab.tips.base import Evidence, Proposal
    >>> evidence = Evidence(TrainConfig(), "cuda", framework="transformers")
    >>> proposal = Proposal("bf16", "speed", "bf16", "why", change={"precision": "bf16"})
    >>> code_for(proposal, evidence)[0].text
    'TrainingArguments(bf16=True)  # was fp32'
    """
    return _in_order(proposal.code or _lines_of(proposal, evidence), evidence)


def _lines_of(proposal: Proposal, evidence: Evidence) -> tuple[Code, ...]:
    """Those of every changed field; of two fields one after the other."""
    before, after = evidence.config, evidence.with_change(**proposal.change)
    found = {"bigmodel_lab": (_ours(proposal.change), proposal.can_apply)} if proposal.change else {}
    for fields, lines in _LINES.items():
        if proposal.change.keys() & fields:
            for name, (added, in_mid_run) in lines(before, after, evidence.mode).items():
                earlier, could = found.get(name, ("", True))
                found[name] = (f"{earlier}\n{added}".lstrip("\n"), could and in_mid_run)
    return tuple(Code(name, *one) for name, one in found.items())


def _in_order(code: Collection[Code], evidence: Evidence) -> tuple[Code, ...]:
    """The person's framework first; where it has no lines of its own, those for a loop of one's own."""
    has_own = any(one.framework == evidence.framework for one in code)
    first = evidence.framework if has_own else "plain"
    return tuple(sorted(code, key=lambda one: (one.framework != first, _ORDER.index(one.framework))))


def _ours(change: Mapping[str, Any]) -> str:
    given = ", ".join(f"{name}={value!r}" for name, value in change.items() if value is not None)
    return f"lab.fit(…, {given})"


def _was(value: object) -> str:
    return text("tip.code.was", "# was {value}", value=value)


def _batch(before: TrainConfig, after: TrainConfig, _mode: Mode) -> dict[str, tuple[str, bool]]:
    size, count = after.micro_batch_size, after.gradient_accumulation_steps
    was = _was(f"{before.micro_batch_size} × {before.gradient_accumulation_steps}")
    return {
        "plain": (
            (
                f"for part in zip(x.split({size}), y.split({size})):  {was}\n"
                "    loss = loss_function(model(part[0]), part[1]) * len(part[0]) / len(x)\n"
                "    loss.backward()\n"
                "optimizer.step(); optimizer.zero_grad()"
            ),
            True,
        ),
        "transformers": (
            f"TrainingArguments(per_device_train_batch_size={size}, gradient_accumulation_steps={count})  {was}",
            False,
        ),
        "lightning": (
            f"DataLoader(…, batch_size={size})\nTrainer(accumulate_grad_batches={count})  {was}",
            False,
        ),
        "accelerate": (
            (
                f"Accelerator(gradient_accumulation_steps={count})  {was}\nDataLoader(…, batch_size={size})\n"
                "with accelerator.accumulate(model): …"
            ),
            False,
        ),
        "diffusers": (f"--train_batch_size={size} --gradient_accumulation_steps={count}  {was}", False),
    }


def _precision(before: TrainConfig, after: TrainConfig, mode: Mode) -> dict[str, tuple[str, bool]]:
    name, was = after.precision, _was(before.precision)
    if name == "fp32":  # the way back; no tip proposes it
        return {"transformers": (f"TrainingArguments(bf16=False, fp16=False, tf32=False)  {was}", False)}
    if name == "tf32":
        switch = f'torch.set_float32_matmul_precision("high")  {was}'
        return {
            "plain": (switch, True),
            "transformers": (f"TrainingArguments(tf32=True)  {was}", False),
            "lightning": (f"{switch}, before Trainer.fit", False),  # fit holds the program until its end
            "accelerate": (switch, True),
            "diffusers": (switch, False),
        }
    dtype = {"bf16": "torch.bfloat16", "fp16": "torch.float16"}[name]
    return {
        "plain": (f"{was}\n{_autocast(name, dtype)}", True),
        "transformers": (f"TrainingArguments({name}=True)  {was}", False),
        "lightning": (f'Trainer(precision="{name if name == "bf16" else "16"}-mixed")  {was}', False),
        "accelerate": (f'Accelerator(mixed_precision="{name}")  {was}', False),
        # its scripts train with a flag; the cast of a whole pipeline is for answering alone
        "diffusers": (f"--mixed_precision={name}  {was}" if mode == "train" else f"pipe.to({dtype})", False),
    }


def _autocast(name: str, dtype: str) -> str:
    forward = f'with torch.autocast("cuda", dtype={dtype}):\n    loss = loss_function(model(x), y)\n'
    if name == "bf16":
        return f"{forward}loss.backward()"
    return (
        f'scaler = torch.amp.GradScaler("cuda")  # once\n{forward}scaler.scale(loss).backward()\n'
        "scaler.step(optimizer); scaler.update()"
    )


def _checkpointing(_before: TrainConfig, after: TrainConfig, _mode: Mode) -> dict[str, tuple[str, bool]]:
    names = after.activation_checkpointing
    lines = _wrapped("model.blocks" if names == EVERY_BLOCK else f"map(model.get_submodule, {list(names)!r})")
    return {
        "plain": (lines, True),
        "accelerate": (lines, True),
        "transformers": (
            'TrainingArguments(gradient_checkpointing=True, gradient_checkpointing_kwargs={"use_reentrant": False})',
            False,
        ),
        "lightning": (f"{lines}\n# before Trainer.fit", False),
        "diffusers": ("unet.enable_gradient_checkpointing()", True),
    }


def _wrapped(blocks: str) -> str:
    """The names of weights stay, so that a training can go on with it."""
    note = text("tip.code.checkpoint_norms", "# layers of batch normalization in it count each batch twice")
    return (
        f"from functools import partial\nfrom torch.utils.checkpoint import checkpoint\nfor block in {blocks}:\n"
        f"    block.forward = partial(checkpoint, block.forward, use_reentrant=False)  {note}"
    )


def _offload(_before: TrainConfig, _after: TrainConfig, mode: Mode) -> dict[str, tuple[str, bool]]:
    waiting = "with torch.autograd.graph.save_on_cpu(pin_memory=True):\n    "
    forward = f"{waiting}loss = loss_function(model(x), y)"
    return {
        "plain": (forward, True),
        "transformers": (f"{waiting}trainer.train()", False),
        "lightning": (f"{waiting}trainer.fit(model)", False),
        "accelerate": (forward, True),
        # a pipeline only answers: it has no activations to keep, and moves its weights
        "diffusers": (forward, True) if mode == "train" else ("pipe.enable_model_cpu_offload()", False),
    }


def _optimizer(_before: TrainConfig, after: TrainConfig, _mode: Mode) -> dict[str, tuple[str, bool]]:
    made = _made(after, "model")
    if after.optimizer == "adamw" and after.optimizer_options.get("fused"):
        trainer = 'TrainingArguments(optim="adamw_torch_fused")  # the default from torch 2.8 on'
    else:
        trainer = f"Trainer(…, optimizers=({made}, None))"
    return {
        "plain": (f"optimizer = {made}", False),
        "transformers": (trainer, False),
        "lightning": (f"def configure_optimizers(self):\n    return {_made(after, 'self')}", False),
        "accelerate": (f"optimizer = accelerator.prepare({made})", False),
    }


def _made(config: TrainConfig, model: str) -> str:
    """The line that makes the optimizer."""
    options = "".join(f", {name}={value!r}" for name, value in config.optimizer_options.items())
    name = optimizer_classes()[config.optimizer].__name__
    return f"torch.optim.{name}({model}.parameters(), lr={config.learning_rate:.6g}{options})"


def _channels_last(_before: TrainConfig, _after: TrainConfig, _mode: Mode) -> dict[str, tuple[str, bool]]:
    weights = "model.to(memory_format=torch.channels_last)"
    lines = f"{weights}\nx = x.contiguous(memory_format=torch.channels_last)"
    return {
        "plain": (lines, True),
        "transformers": (f"{weights}  # before Trainer.train", False),
        "lightning": (f"{weights}  # before Trainer.fit", False),
        "accelerate": (lines, True),
        "diffusers": ("pipe.unet.to(memory_format=torch.channels_last)", True),
    }


def _compile(_before: TrainConfig, _after: TrainConfig, _mode: Mode) -> dict[str, tuple[str, bool]]:
    return {
        "plain": ("compiled = torch.compile(model)  # call compiled(x), save model.state_dict()", True),
        "transformers": ("TrainingArguments(torch_compile=True)", False),
        "lightning": ("model = torch.compile(model)  # before Trainer.fit", False),
        "accelerate": ('Accelerator(dynamo_backend="inductor")', False),
        "diffusers": ("pipe.unet = torch.compile(pipe.unet)", False),
    }


def _rate(before: TrainConfig, after: TrainConfig, _mode: Mode) -> dict[str, tuple[str, bool]]:
    rate, was = f"{after.learning_rate:.3g}", _was(f"{before.learning_rate:.3g}")
    groups = f'for group in optimizer.param_groups:\n    group["lr"] = {rate}  {was}'
    return {
        "plain": (groups, True),
        "transformers": (f"TrainingArguments(learning_rate={rate})  {was}", False),
        "lightning": (f"def configure_optimizers(self):\n    return {_made(after, 'self')}  {was}", False),
        "accelerate": (groups, True),
        "diffusers": (f"--learning_rate={rate}  {was}", False),
    }


def _evaluation(before: TrainConfig, after: TrainConfig, _mode: Mode) -> dict[str, tuple[str, bool]]:
    size, was = after.evaluation_batch_size, _was(before.evaluation_batch_size or before.micro_batch_size)
    loader = f"DataLoader(validation_data, batch_size={size})  {was}"
    return {
        "plain": (loader, True),  # it is made anew before any validation
        "transformers": (f"TrainingArguments(per_device_eval_batch_size={size})  {was}", False),
        "lightning": (f"def val_dataloader(self):\n    return {loader}", False),
        "accelerate": (f"accelerator.prepare(DataLoader(validation_data, batch_size={size}))  {was}", True),
        "diffusers": ("pipe.vae.enable_slicing()", True),
    }


def _early(_before: TrainConfig, after: TrainConfig, _mode: Mode) -> dict[str, tuple[str, bool]]:
    patience = after.early_stopping
    loop = (
        'best, worse = float("inf"), 0\nfor epoch in range(epochs):\n    validation_loss = …\n'
        "    best, worse = (validation_loss, 0) if validation_loss < best else (best, worse + 1)\n"
        f"    if worse >= {patience}:\n        break"
    )
    return {
        "plain": (loop, False),
        "accelerate": (loop, False),
        "transformers": (
            (
                f"Trainer(…, callbacks=[EarlyStoppingCallback(early_stopping_patience={patience})])\n"
                'TrainingArguments(eval_strategy="epoch", save_strategy="epoch", load_best_model_at_end=True)'
            ),
            False,
        ),
        "lightning": (f'Trainer(callbacks=[EarlyStopping("val_loss", patience={patience})])', False),
    }


_LINES: Mapping[frozenset[str], Lines] = {
    frozenset(("micro_batch_size",)): _batch,
    frozenset(("precision",)): _precision,
    frozenset(("activation_checkpointing",)): _checkpointing,
    frozenset(("activation_offload",)): _offload,
    frozenset(("optimizer_options",)): _optimizer,
    frozenset(("channels_last",)): _channels_last,
    frozenset(("compile",)): _compile,
    frozenset(("learning_rate",)): _rate,
    frozenset(("early_stopping",)): _early,
    frozenset(("evaluation_batch_size",)): _evaluation,
}
"""Who writes the lines of which fields."""
