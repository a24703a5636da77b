"""The contract of every documented model, proved on each member of the family."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass

import pytest
import torch

from bigmodel_lab.data import DATASETS, Batches
from bigmodel_lab.errors import UnknownNameError
from bigmodel_lab.models import MODELS, HandWritten, ModelCard
from bigmodel_lab.training import Task, training_step
from bigmodel_lab.training.objectives import objective_of
from bigmodel_lab.training.precision import Arithmetic
from tests.models.samples import few_samples, model_for


@dataclass(frozen=True)
class Documented:
    """A row of the table of documented systems; None is what its document leaves open.

    A document that says "adam" in Keras means the step width 0.001.
    """

    parameters: int | None
    optimizer: str | None
    micro_batch_size: int | None
    epochs: int | None
    learning_rate: float | None = None
    precision: str = "fp32"


DOCUMENTED = {
    "mlp": Documented(397_510, "adam", 64, 10, 1e-3),
    "bilstm_text": Documented(None, "adam", 32, 10, 1e-3),
    "scratch_mlp": Documented(None, "sgd", None, None),
    "sigmoid_342": Documented(26, "sgd", None, None),
    "relu_342": Documented(26, None, None, None),
    "cifar_cnn": Documented(122_570, "adam", 32, 10, 1e-3),
    "simple_cnn": Documented(2_770_634, "adam", 64, 10, 1e-3, "fp16"),
    "linear_regression": Documented(2, "sgd", None, None, 0.01),
    "transformer": Documented(None, "adam", None, None),
    "mnist_cnn": Documented(93_322, "adam", 32, 10, 1e-3),
    "mnist_cnn_functional": Documented(347_146, "adam", 128, 10, 1e-3),
    "gated_rnn": Documented(None, "adam", None, None),
    "autoencoder": Documented(None, "adam", None, None),
    "conv_by_definition": Documented(None, None, None, None),
}
GIVEN_START = {"linear_regression", "sigmoid_342", "relu_342"}
"""Worked examples: their starting weights are written down, whatever the seed."""


@pytest.fixture(params=MODELS.names())
def card(request: pytest.FixtureRequest) -> ModelCard:
    """Each member of the family in turn."""
    return MODELS.get(request.param)


# ---------------------------------------------------------------- the family


def test_the_family_is_the_table_of_documented_systems():
    """Every documented model is there, and none without a row of the table."""
    assert set(MODELS.names()) == set(DOCUMENTED)


def test_listing_models_does_not_import_torch():
    """A list of models costs no import of torch."""
    code = "import sys; from bigmodel_lab.models import MODELS; MODELS.names(); sys.exit('torch' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_unknown_model_names_the_nearest():
    """A misspelt model name is answered with the nearest one."""
    with pytest.raises(UnknownNameError, match="Did you mean 'simple_cnn'"):
        MODELS.get("simpel_cnn")


# ---------------------------------------------------------------- the card


def test_name_is_the_file_name(card: ModelCard):
    """A card is named like its file."""
    assert MODELS.get(card.name) is card


def test_defaults_are_as_documented(card: ModelCard):
    """Size, optimizer, batch, epochs, rate and precision are those of the source document, where it says them."""
    row = DOCUMENTED[card.name]
    found = {"parameters": card.parameters, **vars(card.defaults)}

    assert {key: found[key] for key, value in vars(row).items() if value is not None} == {
        key: value for key, value in vars(row).items() if value is not None
    }


def test_documented_results_are_quoted():
    """The figures of the documents stand beside their models."""
    assert "85 % on validation" in str(MODELS.get("mlp").documented_result)
    assert "0.9900" in str(MODELS.get("mnist_cnn_functional").documented_result)


def test_card_tells_source_and_idea(card: ModelCard):
    """Each model says where it comes from and what it is."""
    assert card.source.startswith("D")
    assert str(card.idea).endswith(".")


def test_errata_are_sentences_of_their_own(card: ModelCard):
    """Each erratum ends with a full stop and has a key of the model."""
    assert [str(erratum) for erratum in card.errata if not str(erratum).endswith(".")] == []
    assert [e.key for e in card.errata if not e.key.startswith(f"model.{card.name}.")] == []


def test_docstring_names_the_source(card: ModelCard):
    """The file of a model says at its top which document and section it follows."""
    assert card.source.split(",")[0] in str(sys.modules[f"bigmodel_lab.models.{card.name}"].__doc__)


def test_data_set_exists(card: ModelCard):
    """What a model trains on by default is a data set by name."""
    assert card.data in DATASETS.names()


def test_takes_only_sizes_that_data_has(card: ModelCard):
    """What a model wants to know of the data is what data can tell."""
    assert set(card.takes) <= set(few_samples(card).sizes)


# ---------------------------------------------------------------- the model


def test_parameter_count_on_the_meta_device(card: ModelCard):
    """A model builds without memory and has as many weights as its card says."""
    with torch.device("meta"):
        model = card.build()

    assert all(p.is_meta for p in model.parameters())
    assert card.parameters == sum(p.numel() for p in model.parameters() if p.requires_grad)


def test_forward_shape_on_the_meta_device(card: ModelCard):
    """A batch becomes what the card says, one row a sample, without a number being computed."""
    with torch.device("meta"):
        output = card.build()(card.example(3))

    assert output.shape == (3, *(card.output_shape or (card.classes,)))


def test_example_can_be_computed(card: ModelCard):
    """The example is a batch with which the model gives finite numbers; a token of 1 is an unknown word."""
    x = card.example(3)
    output = card.create(seed=0).eval()(x + 1 if card.input_dtype == "int64" else x)

    assert output.shape == (3, *(card.output_shape or (card.classes,)))
    assert output.isfinite().all()


def test_example_is_like_the_data(card: ModelCard):
    """Samples of the model's own data are numbers of the kind that the card says."""
    data = few_samples(card)
    x, _ = Batches.of(data, "train").take(torch.tensor([0]))

    assert x.dtype == getattr(torch, card.input_dtype)
    assert x.ndim == card.example(1).ndim


def test_one_step_lowers_the_loss(card: ModelCard):
    """One small step along the gradient lowers the loss on the same samples."""
    data = few_samples(card)
    model = model_for(card, data).eval()  # without dropout, whose noise would hide a small step
    objective = objective_of(data.task, card.loss)
    by_hand = model if isinstance(model, HandWritten) else None
    task = Task(model, objective.loss, objective.count_correct, Arithmetic(), by_hand)
    x, y = Batches.of(data, "train").take(torch.arange(len(data.train)))

    before, _ = training_step(task, torch.optim.SGD(model.parameters(), lr=1e-3), [(x, y)], samples=len(x))

    assert objective.loss(model(x), y).item() < before.item()


def test_same_seed_gives_the_same_weights(card: ModelCard):
    """Two models of one seed are equal to the bit, and another seed differs unless the weights are written down."""
    first, again, other = (torch.nn.utils.parameters_to_vector(card.create(s).parameters()) for s in (5, 5, 6))

    assert torch.equal(first, again)
    assert torch.equal(first, other) == (card.name in GIVEN_START)


def test_create_leaves_the_random_numbers_of_the_person(card: ModelCard):
    """Building a model does not move the global random numbers."""
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)

    card.create(seed=9)

    assert torch.equal(torch.rand(4), expected)
