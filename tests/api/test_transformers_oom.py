"""``on_oom`` of the Transformers callback, in real trainings."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import load_file
from torch import nn

import bigmodel_lab as lab
from bigmodel_lab.errors import ConfigError
from bigmodel_lab.runlog import Status
from tests.api.full_memory import BATCH, FullAt, FullOptimizer, Limited, Wide, apart, dataset, noted, said
from tests.training.small_card import small_gpu

# Warnings of the library itself are not this project's.
pytestmark = pytest.mark.filterwarnings("ignore")


class Model(nn.Module):
    """Loss and scores, as the Trainer expects them: the mean over the batch."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x, labels=None):
        """For a batch."""
        scores = self.inner(x)
        return {"loss": None if labels is None else nn.functional.cross_entropy(scores, labels), "logits": scores}


class Summing(Model):
    """Its loss is the sum over the batch by the number of labels in the whole step, some of which count for nothing."""

    accepts_loss_kwargs = True

    def forward(self, x, labels, num_items_in_batch=None, **_):
        """For a batch."""
        labels = labels.where(x[:, 1] > 0, -100)
        scores = self.inner(x)
        total = nn.functional.cross_entropy(scores, labels, reduction="sum")
        return {"loss": total / num_items_in_batch, "logits": scores}


class Ignoring(Model):
    """Takes the number of labels, as the models of the library do, and has the mean over the batch all the same."""

    accepts_loss_kwargs = True

    def forward(self, x, labels, num_items_in_batch=None, **_):
        """For a batch."""
        del num_items_in_batch
        return super().forward(x, labels)


class Mixed(Summing):
    """A sum by the number of labels, and a mean beside it."""

    def forward(self, x, labels, num_items_in_batch=None, **_):
        """For a batch."""
        made = super().forward(x, labels, num_items_in_batch)
        return {**made, "loss": made["loss"] + 0.1 * made["logits"].square().mean()}


class Callback(lab.TransformersCallback):
    """Keeps the run after the training."""

    def on_train_begin(self, *args, **parts):
        """As ever, and keep the run."""
        super().on_train_begin(*args, **parts)
        self.run = self.watch.run


@pytest.fixture
def trainer(tmp_path):
    """A Trainer of two epochs of three batches with our callback, attached to it where that is wanted."""

    def made(model, on_oom="shrink", kind=None, optimizers=(None, None), **settings):
        arguments = transformers.TrainingArguments(
            **{
                "output_dir": str(tmp_path),
                "num_train_epochs": 2,
                "per_device_train_batch_size": BATCH,
                "learning_rate": 0.05,
                "logging_steps": 1,
                "report_to": [],
                "save_strategy": "no",
                "disable_tqdm": True,
                "use_cpu": True,
                **settings,
            }
        )
        rows = [{"x": x, "labels": y} for x, y in dataset()]
        kind = kind or transformers.Trainer
        one = kind(model, arguments, train_dataset=rows, eval_dataset=rows, optimizers=optimizers)
        one.callback = Callback(on_oom=on_oom)
        one.callback.attach(one)
        return one

    return made


@pytest.mark.parametrize("accumulated", [1, 2])
@pytest.mark.parametrize("where", ["forward", "backward"])
@pytest.mark.parametrize("kind", [Model, Summing, Ignoring])
def test_weights_are_those_of_a_run_without_limit(trainer, kind, where, accumulated):
    """In parts of at most three samples, with a ragged last batch; means and sums alike."""
    limited, free = kind(Limited(3, where)), kind(Limited())
    trainer(limited, gradient_accumulation_steps=accumulated).train()
    trainer(free, "raise", gradient_accumulation_steps=accumulated).train()

    assert apart(limited, free) < 1e-9


def test_a_loss_function_that_counts_items_just_adds_up(trainer):
    """The Trainer gives it the number of labels of the whole step."""

    def loss(outputs, labels, num_items_in_batch=None):
        return nn.functional.cross_entropy(outputs["logits"], labels, reduction="sum") / num_items_in_batch

    limited, free = Model(Limited(3)), Model(Limited())
    for model, on_oom in ((limited, "shrink"), (free, "raise")):
        one = trainer(model, on_oom, gradient_accumulation_steps=2)
        one.compute_loss_func = loss
        one.train()

    assert apart(limited, free) < 1e-9


def test_attaching_twice_is_attaching_once(trainer):
    """A training has one run."""
    one = trainer(Model(Limited()))
    train = one.train

    assert one.callback.attach(one).train is train


def test_a_batch_that_fits_is_made_as_ever(trainer):
    """Bit for bit, and without an event."""
    watched, free = Model(Limited(dropout=0.5)), Model(Limited(dropout=0.5))
    (one := trainer(watched)).train()
    trainer(free, "raise").train()

    assert apart(watched, free) == 0
    assert said(one.callback.run, "out_of_memory") == []


def test_the_loss_that_is_logged_is_that_of_the_whole_batch(trainer):
    """The Trainer's own numbers do not change."""
    (cut := trainer(Model(Limited(3)))).train()
    (whole := trainer(Model(Limited()), "raise")).train()

    assert cut.callback.run.series("loss").value == pytest.approx(whole.callback.run.series("loss").value, rel=1e-5)


def test_an_evaluation_is_not_weighed(trainer):
    """Its loss is that of the model."""
    (cut := trainer(Model(Limited(3)), eval_strategy="epoch", per_device_eval_batch_size=3)).train()
    (whole := trainer(Model(Limited()), "raise", eval_strategy="epoch", per_device_eval_batch_size=3)).train()

    losses = [one.state.log_history[-2]["eval_loss"] for one in (cut, whole)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-9)


def test_failures_are_told_and_settled(trainer):
    """In the run file, where the dashboard and ``lab.open_run`` look."""
    (one := trainer(Model(Limited(3, "backward")))).train()
    run = lab.open_run(one.callback.run.path)

    assert [one["phase"] for one in said(run, "out_of_memory")] == ["backward", "backward"]
    assert [one["parts"] for one in said(run, "out_of_memory_settled")] == [2, 4]


@pytest.mark.parametrize("most", [3, 0])
def test_the_trainer_is_as_it_was(trainer, most):
    """After the training, and after one that fails."""
    one = trainer(Model(Limited(most)))
    if most:
        one.train()
    else:
        with pytest.raises(torch.OutOfMemoryError):
            one.train()

    assert {"training_step", "compute_loss"} & set(vars(one)) == set()


def test_a_trainer_can_train_twice(trainer):
    """The callback stays attached."""
    one = trainer(Model(Limited(3)))
    one.train()
    one.train()

    assert len(said(one.callback.run, "out_of_memory")) == 2


def test_one_sample_that_does_not_fit_fails_the_run(trainer):
    """With the original error."""
    one = trainer(Model(Limited(0)))
    with pytest.raises(torch.OutOfMemoryError, match="Tried to allocate") as caught:
        one.train()

    assert noted(caught.value, "a single sample does not fit")
    assert lab.open_run(one.callback.run.path).status is Status.FAILED


def test_gradients_of_earlier_batches_are_not_risked(trainer):
    """A backward pass that breaks on top of them ends the training, and says why."""
    with pytest.raises(torch.OutOfMemoryError) as caught:
        trainer(Model(FullAt(2, "backward")), gradient_accumulation_steps=2).train()

    assert noted(caught.value, "not the first of an accumulated step")


def test_a_full_optimizer_is_not_made_again(trainer):
    """Its weights may be half changed."""
    model = Model(Limited())
    with pytest.raises(torch.OutOfMemoryError) as caught:
        trainer(model, optimizers=(FullOptimizer(model.parameters(), lr=0.1), None)).train()

    assert noted(caught.value, "in the middle of its step")


def test_a_broken_backward_pass_is_let_go_of(trainer):
    """Two halves fit onto a simulated card that has no room for one of them beside what the whole has left."""
    one = trainer(model := Model(Wide()), num_train_epochs=1)
    with (gpu := small_gpu(free_mib=90)):
        gpu.adopt(model)
        one.train()

    assert [event["phase"] for event in said(one.callback.run, "out_of_memory")] == ["backward"]
    assert [event["parts"] for event in said(one.callback.run, "out_of_memory_settled")] == [2]


def test_without_the_trainer_it_says_what_to_do(tmp_path):
    """A callback alone cannot catch an error."""
    callback = lab.TransformersCallback(on_oom="shrink")
    arguments = transformers.TrainingArguments(output_dir=str(tmp_path), report_to=[], use_cpu=True)
    rows = [{"x": x, "labels": y} for x, y in dataset()]
    with pytest.raises(ConfigError, match=r"Call callback.attach\(trainer\) before trainer.train\(\)"):
        transformers.Trainer(Model(Limited()), arguments, train_dataset=rows, callbacks=[callback]).train()


def test_two_answers_to_one_failure_are_refused(trainer):
    """The Trainer's own search begins the training again."""
    with pytest.raises(ConfigError, match="auto_find_batch_size=True"):
        trainer(Model(Limited()), auto_find_batch_size=True).train()


def test_a_step_that_cannot_be_weighed_is_refused(trainer):
    """Where ``training_step`` makes its loss in another way, no part could get its share."""

    class Own(transformers.Trainer):
        def training_step(self, model, inputs, num_items_in_batch=None):
            """Without compute_loss."""
            del num_items_in_batch
            loss = model(**inputs)["loss"]
            loss.backward()
            return loss.detach()

    with pytest.raises(ConfigError, match="the training_step of Own called it 0 times"):
        trainer(Model(Limited()), kind=Own).train()


def test_a_loss_of_two_kinds_is_refused(trainer):
    """No weight of a part would be right for both."""
    with pytest.raises(ConfigError, match="only a part of it is divided by that"):
        trainer(Mixed(Limited(3))).train()


def test_measuring_the_kind_of_loss_leaves_no_trace(trainer):
    """Statistics count each sample once, also in the first batch that is cut."""
    trainer(model := Summing(Limited(3)), max_steps=1).train()

    assert model.inner.seen.item() == 10


@pytest.mark.parametrize("where", ["forward", "backward"])
def test_a_checkpoint_has_the_last_completed_step(trainer, where, capsys):
    """Weights and statistics of one step of two batches, though the next one was half summed."""
    model, one_step = Model(FullAt(4, where)), Model(Limited())
    settings = {"gradient_accumulation_steps": 2, "per_device_train_batch_size": 5, "lr_scheduler_type": "constant"}
    one = trainer(model, "checkpoint", **settings)
    with pytest.raises(torch.OutOfMemoryError):
        one.train()
    trainer(one_step, "raise", max_steps=1, **settings).train()

    run = lab.open_run(one.callback.run.path)
    assert [failure["phase"] for failure in said(run, "out_of_memory")] == [where]
    (event,) = said(run, "checkpoint")
    saved = load_file(Path(event["path"]) / "model.safetensors")
    assert all(torch.equal(tensor, saved[name]) for name, tensor in one_step.state_dict().items())
    assert f'resume_from_checkpoint="{event["path"]}"' in capsys.readouterr().out


@pytest.mark.parametrize("accumulated", [1, 2])
@pytest.mark.parametrize("at", [1, 2, 4, 6])
def test_a_checkpoint_goes_on(trainer, accumulated, at):
    """To the same weights as a run without a failure, dropout and all, at the beginning of an epoch and within."""
    again, free = Model(Limited(dropout=0.5)), Model(Limited(dropout=0.5))
    broken = FullAt(at)
    broken.dropout = 0.5
    one = trainer(Model(broken), "checkpoint", gradient_accumulation_steps=accumulated)
    with pytest.raises(torch.OutOfMemoryError):
        one.train()
    (event,) = said(lab.open_run(one.callback.run.path), "checkpoint")
    trainer(again, "raise", gradient_accumulation_steps=accumulated).train(resume_from_checkpoint=event["path"])
    trainer(free, "raise", gradient_accumulation_steps=accumulated).train()

    assert apart(again, free) < 1e-9


def test_no_checkpoint_of_a_broken_optimizer_step(trainer, tmp_path):
    """Some weights are changed already: it says so, and saves nothing."""
    model = Model(Limited())
    with pytest.raises(torch.OutOfMemoryError) as caught:
        trainer(model, "checkpoint", optimizers=(FullOptimizer(model.parameters(), lr=0.1), None)).train()

    assert noted(caught.value, "nothing was made again or saved")
    assert list(Path(tmp_path).glob("checkpoint-*")) == []


def test_a_checkpoint_that_cannot_be_written_hides_nothing(trainer, monkeypatch):
    """The original error is raised, and says that nothing was saved."""
    one = trainer(Model(FullAt(2)), "checkpoint")

    def full_disk(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(one, "_save_checkpoint", full_disk)
    with pytest.raises(torch.OutOfMemoryError) as caught:
        one.train()

    assert noted(caught.value, "no checkpoint: [Errno 28] No space left on device")
