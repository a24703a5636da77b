"""The callbacks, in real trainings of Lightning and of the Hugging Face Trainer."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import bigmodel_lab as lab
from bigmodel_lab.runlog import Status

# Warnings of the libraries themselves are not this project's.
pytestmark = pytest.mark.filterwarnings("ignore")


def dataset():
    """Forty samples of two classes."""
    x = torch.randn(40, 4, generator=torch.Generator().manual_seed(0))
    return TensorDataset(x, (x[:, 0] > 0).long())


@pytest.fixture
def lightning_training(tmp_path):
    """A module, its data, and a trainer with our callback; ``on_step`` is called in every step."""
    import lightning

    class Module(lightning.LightningModule):
        def __init__(self, on_step=lambda: None):
            super().__init__()
            self.layer = nn.Linear(4, 2)
            self.on_step = on_step

        def training_step(self, batch, _):
            """Cross-entropy of a batch."""
            self.on_step()
            return nn.functional.cross_entropy(self.layer(batch[0]), batch[1])

        def validation_step(self, batch, _):
            """Logs the loss."""
            self.log("val_loss", nn.functional.cross_entropy(self.layer(batch[0]), batch[1]))

        def configure_optimizers(self):
            """Plain gradient descent."""
            return torch.optim.SGD(self.parameters(), lr=0.1)

    def train(callback, on_step=lambda: None):
        trainer = lightning.Trainer(
            max_epochs=2,
            callbacks=[callback],
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            accelerator="cpu",
            default_root_dir=tmp_path,
        )
        trainer.fit(Module(on_step), DataLoader(dataset(), batch_size=10), DataLoader(dataset(), batch_size=20))

    return train


class Remembering(lab.LightningCallback):
    """Keeps the run after the training."""

    def on_train_batch_end(self, *args):
        """As ever, and keep the run."""
        super().on_train_batch_end(*args)
        self.run = self.watch.run


def test_lightning_records_every_batch(lightning_training):
    """Two epochs of four batches are eight steps, each with its loss."""
    callback = Remembering()
    lightning_training(callback)

    assert callback.run.series("loss").step.tolist() == list(range(8))


def test_lightning_records_validation(lightning_training):
    """What the module logged in validation is there once an epoch."""
    callback = Remembering()
    lightning_training(callback)

    assert len(callback.run.series("validation_loss").value) == 2


def test_lightning_knows_the_total(lightning_training):
    """The dashboard can show progress: batches times epochs."""
    callback = Remembering()
    lightning_training(callback)

    assert (callback.run.header["total_steps"], callback.run.status) == (8, Status.FINISHED)


def test_lightning_stops_on_command(lightning_training):
    """A stop from the dashboard ends the training early and cleanly."""
    callback = Remembering()
    lightning_training(callback, on_step=lambda: callback.watch.run._source.mailbox.post("stop", "widget"))

    assert callback.run.status is Status.STOPPED
    assert len(callback.run.series("loss").value) < 8


def test_lightning_failure_is_recorded(lightning_training):
    """An error inside the training closes the run as failed."""
    callback = Remembering()
    steps = iter([0, 1])

    def fail_in_the_second():
        if next(steps):
            raise RuntimeError("as planned")

    with pytest.raises(RuntimeError, match="as planned"):
        lightning_training(callback, on_step=fail_in_the_second)

    assert lab.open_run(callback.run.path).status is Status.FAILED


@pytest.fixture
def hf_training(tmp_path):
    """A small training by the Hugging Face Trainer with our callback."""
    import transformers

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(4, 2)

        def forward(self, x, labels):
            """Loss and scores, as the Trainer expects them."""
            return {"loss": nn.functional.cross_entropy(self.layer(x), labels), "logits": self.layer(x)}

    def train(callback, **arguments):
        settings = transformers.TrainingArguments(
            output_dir=str(tmp_path),
            num_train_epochs=2,
            per_device_train_batch_size=10,
            logging_steps=2,
            report_to=[],
            save_strategy="no",
            disable_tqdm=True,
            use_cpu=True,
            **arguments,
        )
        rows = [{"x": x, "labels": y} for x, y in dataset()]
        transformers.Trainer(Model(), settings, train_dataset=rows, eval_dataset=rows, callbacks=[callback]).train()

    return train


class RememberingHF(lab.TransformersCallback):
    """Keeps the run after the training."""

    def on_train_begin(self, *args, **parts):
        """As ever, and keep the run."""
        super().on_train_begin(*args, **parts)
        self.run = self.watch.run


def test_transformers_records_every_step(hf_training):
    """Two epochs of four batches are eight steps with their time."""
    callback = RememberingHF()
    hf_training(callback)

    assert callback.run.series("step_seconds").step.tolist() == list(range(8))


def test_transformers_records_what_is_logged(hf_training):
    """The loss is there at every logging_steps-th step."""
    callback = RememberingHF()
    hf_training(callback)

    assert callback.run.series("loss").step.tolist() == [1, 3, 5, 7]


def test_transformers_records_evaluation(hf_training):
    """The evaluation's loss is the run's validation loss."""
    callback = RememberingHF()
    hf_training(callback, eval_strategy="epoch")

    measured = callback.run.series("validation_loss").value
    assert int((~torch.tensor(measured).isnan()).sum()) == 2


def test_transformers_stops_on_command(hf_training):
    """A stop from the dashboard ends the training after the step."""

    class Stopping(RememberingHF):
        def on_step_begin(self, *_, **__):
            """Ask for a stop at once."""
            self.run._source.mailbox.post("stop", "widget")

    callback = Stopping()
    hf_training(callback)

    assert (callback.run.status, callback.run.header["total_steps"]) == (Status.STOPPED, 8)
    assert len(callback.run.series("step_seconds").value) == 1


def test_the_libraries_load_only_when_used():
    """Neither Lightning nor Transformers comes with the library."""
    code = "import sys, bigmodel_lab as lab; lab.watch; print({'lightning', 'transformers'} & set(sys.modules))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert out.stdout.strip() == "set()"
