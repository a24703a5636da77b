"""``on_oom`` of the Lightning callback, in real trainings."""

from __future__ import annotations

from pathlib import Path

import lightning
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

import bigmodel_lab as lab
from bigmodel_lab.errors import ConfigError
from bigmodel_lab.runlog import Status
from tests.api.full_memory import BATCH, FullAt, FullOptimizer, Limited, Wide, apart, dataset, noted, said
from tests.training.small_card import small_gpu

# Warnings of the library itself are not this project's.
pytestmark = pytest.mark.filterwarnings("ignore")


class Module(lightning.LightningModule):
    """Learns the two classes."""

    def __init__(self, model, optimizer=torch.optim.SGD):
        super().__init__()
        self.model, self.optimizer = model, optimizer

    def training_step(self, batch):
        """Cross-entropy of a batch, logged, with the scores beside it."""
        scores = self.model(batch[0])
        loss = nn.functional.cross_entropy(scores, batch[1])
        self.log("train_loss", loss, on_epoch=True)
        return {"loss": loss, "scores": scores}

    def configure_optimizers(self):
        """Momentum keeps a state."""
        return self.optimizer(self.parameters(), lr=0.1, momentum=0.9)


class Callback(lab.LightningCallback):
    """Keeps the run after the training."""

    def on_train_start(self, *args):
        """As ever, and keep the run."""
        super().on_train_start(*args)
        self.run = self.watch.run


@pytest.fixture
def train(tmp_path):
    """Trains a module, by default for two epochs of three batches; gives the callback."""

    def trained(module, on_oom="shrink", ckpt_path=None, **settings):
        callback = Callback(on_oom=on_oom)
        trainer = lightning.Trainer(
            **{"max_epochs": 2, "accelerator": "cpu", **settings},
            callbacks=[callback],
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            default_root_dir=tmp_path,
        )
        module.callback = [callback, trainer]  # in a list: Lightning would take it for a part of the module
        trainer.fit(module, DataLoader(dataset(), batch_size=BATCH), ckpt_path=ckpt_path)
        return callback

    return trained


@pytest.mark.parametrize("accumulated", [1, 2])
@pytest.mark.parametrize("where", ["forward", "backward"])
def test_weights_are_those_of_a_run_without_limit(train, where, accumulated):
    """In parts of at most three samples, with a ragged last batch."""
    limited, free = Module(Limited(3, where)), Module(Limited())
    train(limited, accumulate_grad_batches=accumulated)
    train(free, "raise", accumulate_grad_batches=accumulated)

    assert apart(limited, free) < 1e-9


def test_a_batch_that_fits_is_made_as_ever(train):
    """Bit for bit, and without an event."""
    watched, free = Module(Limited(dropout=0.5)), Module(Limited(dropout=0.5))
    torch.manual_seed(0)
    callback = train(watched)
    torch.manual_seed(0)
    train(free, "raise")

    assert apart(watched, free) == 0
    assert said(callback.run, "out_of_memory") == []


def test_the_loss_in_the_run_is_that_of_the_whole_batch(train):
    """Not that of one part."""
    cut, whole = train(Module(Limited(3))), train(Module(Limited()), "raise")

    assert cut.run.series("loss").value == pytest.approx(whole.run.series("loss").value, rel=1e-5)


def test_failures_are_told_and_settled(train):
    """In the run file, where the dashboard and ``lab.open_run`` look."""
    run = lab.open_run(train(Module(Limited(3))).run.path)

    assert [one["action"] for one in said(run, "out_of_memory")] == ["shrink", "shrink"]
    assert [one["parts"] for one in said(run, "out_of_memory_settled")] == [2, 4]


class Scaling(lightning.pytorch.plugins.Precision):
    """Scales the loss before its backward pass, as a scaler does."""

    def pre_backward(self, tensor, module):
        """Four times as much."""
        return super().pre_backward(tensor * 4, module)


def test_every_part_is_scaled_as_the_whole(train):
    """What Lightning does to the loss on the way is done to each part."""
    limited, free = Module(Limited(3)), Module(Limited())
    train(limited, plugins=[Scaling()], accumulate_grad_batches=2)
    train(free, "raise", plugins=[Scaling()], accumulate_grad_batches=2)

    assert apart(limited, free) < 1e-9


def test_every_part_is_made_in_the_same_precision(train):
    """Lightning's autocast holds for the later parts, too."""

    class Asking(Module):
        def training_step(self, batch):
            """As ever, and note the precision."""
            self.asked = [*getattr(self, "asked", []), torch.is_autocast_enabled("cpu")]
            return super().training_step(batch)

    train(module := Asking(Limited(3)), precision="bf16-mixed", max_epochs=1)

    assert len(module.asked) > 6
    assert all(module.asked)


def test_logs_come_once_a_batch(train):
    """From the first part, where Lightning takes them."""

    class Counting(Module):
        def training_step(self, batch):
            """As ever, and count the batches."""
            made = super().training_step(batch)
            self.log("batches", 1.0, on_epoch=True, on_step=False, reduce_fx="sum")
            return made

    train(module := Counting(Limited(3)), max_epochs=1)

    assert module.callback[1].callback_metrics["batches"] == 3


def test_gradients_are_clipped_once(train):
    """Clipping sees the sum over all parts."""
    limited, free = Module(Limited(3, "backward")), Module(Limited())
    train(limited, gradient_clip_val=0.01)
    train(free, "raise", gradient_clip_val=0.01)

    assert apart(limited, free) < 1e-9


@pytest.mark.parametrize("most", [3, 0])
def test_the_module_is_as_it_was(train, most):
    """After the training, and after one that fails."""
    module = Module(Limited(most))
    if most:
        train(module)
    else:
        with pytest.raises(torch.OutOfMemoryError):
            train(module)

    assert {"training_step", "backward", "log"} & set(vars(module)) == set()


def test_one_sample_that_does_not_fit_fails_the_run(train):
    """With the original error."""
    module = Module(Limited(0))
    with pytest.raises(torch.OutOfMemoryError, match="Tried to allocate") as caught:
        train(module)

    assert noted(caught.value, "a single sample does not fit")
    assert lab.open_run(module.callback[0].run.path).status is Status.FAILED


def test_gradients_of_earlier_batches_are_not_risked(train):
    """A backward pass that breaks on top of them ends the training, and says why."""
    with pytest.raises(torch.OutOfMemoryError) as caught:
        train(Module(FullAt(2, "backward")), accumulate_grad_batches=2)

    assert noted(caught.value, "not the first of an accumulated step")


def test_a_full_optimizer_is_not_made_again(train):
    """Its weights may be half changed."""
    with pytest.raises(torch.OutOfMemoryError) as caught:
        train(Module(Limited(), FullOptimizer))

    assert noted(caught.value, "in the middle of its step")


def test_a_broken_backward_pass_is_let_go_of(train):
    """Two halves fit onto a simulated card that has no room for one of them beside what the whole has left."""
    module = Module(Wide())
    with (gpu := small_gpu(free_mib=90)):
        gpu.adopt(module)
        run = train(module, max_epochs=1).run

    assert [one["phase"] for one in said(run, "out_of_memory")] == ["backward"]
    assert [one["parts"] for one in said(run, "out_of_memory_settled")] == [2]


def test_manual_optimization_is_refused(train):
    """Only the module's own code knows when its weights change."""
    module = Module(Limited())
    module.automatic_optimization = False
    with pytest.raises(ConfigError, match="automatic_optimization=False"):
        train(module)


class Searching(Module):
    """Makes several passes over one batch, and moves the weights between them."""

    def configure_optimizers(self):
        """The search."""
        return torch.optim.LBFGS(self.parameters(), max_iter=3)


def test_every_pass_of_a_search_is_made_in_parts(train):
    """L-BFGS asks for the gradient again and again in one step."""
    limited, free = Searching(Limited(3, "backward")), Searching(Limited())
    train(limited)
    train(free, "raise")

    assert apart(limited, free) < 1e-9


def test_a_checkpoint_amid_a_search_is_refused(train):
    """The weights are those of no step."""
    with pytest.raises(ConfigError, match="LBFGS moves them"):
        train(Searching(Limited()), "checkpoint")


@pytest.mark.parametrize("where", ["forward", "backward"])
def test_a_checkpoint_has_the_last_completed_step(train, where, capsys):
    """Weights and statistics of two steps, and a line that says how to go on."""
    module, two = Module(FullAt(3, where)), Module(Limited())
    with pytest.raises(torch.OutOfMemoryError):
        train(module, "checkpoint")
    train(two, "raise", max_epochs=1, limit_train_batches=2)

    run = lab.open_run(module.callback[0].run.path)
    assert [failure["phase"] for failure in said(run, "out_of_memory")] == [where]
    (event,) = said(run, "checkpoint")
    saved = torch.load(event["path"], weights_only=False)
    assert all(torch.equal(one, saved["state_dict"][name]) for name, one in two.state_dict().items())
    assert f'ckpt_path="{event["path"]}"' in capsys.readouterr().out


def test_a_checkpoint_goes_on(train, tmp_path):
    """Lightning loads it and makes the steps that are left."""
    module, again = Module(FullAt(5)), Module(Limited())
    with pytest.raises(torch.OutOfMemoryError):
        train(module, "checkpoint")
    (saved,) = Path(tmp_path).glob("*.ckpt")
    train(again, "raise", ckpt_path=saved)

    assert again.callback[1].global_step == 6
    assert again.model.passes == 2


def test_a_step_that_was_half_summed_is_made_again_as_a_whole(train, tmp_path):
    """The checkpoint has none of its gradients, so none of its batches counts as made."""
    settings = {"accumulate_grad_batches": 2, "limit_train_batches": 2}
    module, again, free = Module(FullAt(2)), Module(Limited()), Module(Limited())
    with pytest.raises(torch.OutOfMemoryError):
        train(module, "checkpoint", **settings)
    (saved,) = Path(tmp_path).glob("*.ckpt")
    train(again, "raise", ckpt_path=saved, **settings)
    train(free, "raise", **settings)

    assert apart(again, free) < 1e-9


def test_no_checkpoint_of_a_broken_optimizer_step(train, tmp_path):
    """Some weights are changed already: it says so, and saves nothing."""
    module = Module(Limited(), FullOptimizer)
    with pytest.raises(torch.OutOfMemoryError) as caught:
        train(module, "checkpoint")

    assert noted(caught.value, "nothing was made again or saved")
    assert list(Path(tmp_path).glob("*.ckpt")) == []
