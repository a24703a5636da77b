"""A change in the words of the frameworks that people use, with their values.

Names as in PyTorch 2.13, Transformers 5, Lightning 2.6, Accelerate 1.15 and Diffusers 0.3x; a test holds those that can
be looked up in the installed packages.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from bigmodel_lab.i18n import text
from bigmodel_lab.tips.base import Code, Evidence, Proposal
from bigmodel_lab.training import TrainConfig

Lines = Callable[[TrainConfig, TrainConfig], dict[str, tuple[str, bool]]]
"""Maps (settings before, after) to (code, can be done in mid-run) by framework."""

_ORDER = ("bigmodel_lab", "plain", "transformers", "lightning", "accelerate", "diffusers", "shell")


def code_for(proposal: Proposal, evidence: Evidence) -> tuple[Code, ...]:
    """The proposal as lines to copy, for each framework that can do it; that of the evidence first.

    Args:
        proposal: Any.
        evidence: Whose settings it changes.

    >>> from bigmodel_lab.tips.base import Evidence, Proposal
    >>> evidence = Evidence(TrainConfig(), "cuda", framework="transformers")
    >>> proposal = Proposal("bf16", "speed", "bf16", "why", change={"precision": "bf16"})
    >>> code_for(proposal, evidence)[0].text
    'TrainingArguments(bf16=True)  # was fp32'
    """
    before = evidence.config
    after = evidence.with_change(**proposal.change)
    found = {"bigmodel_lab": (_ours(proposal.change), proposal.can_apply)} if proposal.change else {}
    for fields, lines in _LINES.items():
        if proposal.change.keys() & fields:
            found |= lines(before, after)
    order = sorted(found, key=lambda name: (name != evidence.framework, _ORDER.index(name)))
    return tuple(Code(name, *found[name]) for name in order)


def _ours(change: Mapping[str, Any]) -> str:
    given = ", ".join(f"{name}={value!r}" for name, value in change.items() if value is not None)
    return f"lab.fit(…, {given})"


def _was(value: object) -> str:
    return text("tip.code.was", "# was {value}", value=value)


def _batch(before: TrainConfig, after: TrainConfig) -> dict[str, tuple[str, bool]]:
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


def _precision(before: TrainConfig, after: TrainConfig) -> dict[str, tuple[str, bool]]:
    name, was = after.precision, _was(before.precision)
    if name == "tf32":
        return {
            "plain": (f'torch.set_float32_matmul_precision("high")  {was}', True),
            "transformers": (f"TrainingArguments(tf32=True)  {was}", False),
            "lightning": ('torch.set_float32_matmul_precision("high")', True),
        }
    dtype = {"bf16": "torch.bfloat16", "fp16": "torch.float16"}[name]
    return {
        "plain": (_autocast(name, dtype), True),
        "transformers": (f"TrainingArguments({name}=True)  {was}", False),
        "lightning": (f'Trainer(precision="{name if name == "bf16" else "16"}-mixed")  {was}', False),
        "accelerate": (f'Accelerator(mixed_precision="{name}")  {was}', False),
        "diffusers": (f"pipe.to({dtype})", False),
    }


def _autocast(name: str, dtype: str) -> str:
    forward = f'with torch.autocast("cuda", dtype={dtype}):\n    loss = loss_function(model(x), y)\n'
    if name == "bf16":
        return f"{forward}loss.backward()"
    return (
        f'scaler = torch.amp.GradScaler("cuda")  # once\n{forward}scaler.scale(loss).backward()\n'
        "scaler.step(optimizer); scaler.update()"
    )


def _checkpointing(_before: TrainConfig, after: TrainConfig) -> dict[str, tuple[str, bool]]:
    first = after.activation_checkpointing[0]
    return {
        "plain": (
            (
                "from torch.utils.checkpoint import checkpoint\n"
                f"# in forward, for {first} and its like:\nx = checkpoint(self.block, x, use_reentrant=False)"
            ),
            False,
        ),
        "transformers": (
            'TrainingArguments(gradient_checkpointing=True, gradient_checkpointing_kwargs={"use_reentrant": False})',
            False,
        ),
        "lightning": ("x = torch.utils.checkpoint.checkpoint(self.block, x, use_reentrant=False)", False),
        "diffusers": ("unet.enable_gradient_checkpointing()", True),
    }


def _offload(_before: TrainConfig, _after: TrainConfig) -> dict[str, tuple[str, bool]]:
    forward = "with torch.autograd.graph.save_on_cpu(pin_memory=True):\n    loss = loss_function(model(x), y)"
    return {"plain": (forward, True), "diffusers": ("pipe.enable_model_cpu_offload()", False)}


def _optimizer(before: TrainConfig, after: TrainConfig) -> dict[str, tuple[str, bool]]:
    made = {"adam": "Adam", "adamw": "AdamW", "sgd": "SGD", "adagrad": "Adagrad"}.get(after.optimizer, after.optimizer)
    options = "".join(f", {name}={value!r}" for name, value in after.optimizer_options.items())
    found = {"plain": (f"torch.optim.{made}(model.parameters(), lr={after.learning_rate!r}{options})", False)}
    if after.optimizer == "adamw" and after.optimizer_options.get("fused"):
        found["transformers"] = (f'TrainingArguments(optim="adamw_torch_fused")  {_was("adamw_torch")}', False)
    del before
    return found


def _channels_last(_before: TrainConfig, _after: TrainConfig) -> dict[str, tuple[str, bool]]:
    lines = "model.to(memory_format=torch.channels_last)\nx = x.contiguous(memory_format=torch.channels_last)"
    return {
        "plain": (lines, True),
        "diffusers": ("pipe.unet.to(memory_format=torch.channels_last)", True),
    }


def _compile(_before: TrainConfig, _after: TrainConfig) -> dict[str, tuple[str, bool]]:
    return {
        "plain": ("compiled = torch.compile(model)  # call compiled(x), save model.state_dict()", True),
        "transformers": ("TrainingArguments(torch_compile=True)", False),
        "lightning": ("model = torch.compile(model)  # before Trainer.fit", False),
        "accelerate": ('Accelerator(dynamo_backend="inductor")', False),
        "diffusers": ("pipe.unet = torch.compile(pipe.unet)", False),
    }


def _rate(before: TrainConfig, after: TrainConfig) -> dict[str, tuple[str, bool]]:
    rate, was = f"{after.learning_rate:.3g}", _was(f"{before.learning_rate:.3g}")
    return {
        "plain": (f'for group in optimizer.param_groups:\n    group["lr"] = {rate}  {was}', True),
        "transformers": (f"TrainingArguments(learning_rate={rate})  {was}", False),
    }


def _early(_before: TrainConfig, after: TrainConfig) -> dict[str, tuple[str, bool]]:
    patience = after.early_stopping
    return {
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
}
"""Who writes the lines of which fields."""
