"""The contract of every documented model, proved on each member of the family."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch.nn import functional as F

from bigmodel_lab.errors import UnknownNameError
from bigmodel_lab.models import MODELS, ModelCard

DOCUMENTED = {  # name: parameters, micro-batch, epochs, precision, as the reference table of the project says
    "mlp": (397_510, 64, 10, "fp32"),
    "mnist_cnn": (93_322, 32, 10, "fp32"),
    "simple_cnn": (2_770_634, 64, 10, "fp16"),
}


@pytest.fixture(params=MODELS.names())
def card(request: pytest.FixtureRequest) -> ModelCard:
    """Each member of the family in turn."""
    return MODELS.get(request.param)


def test_every_documented_model_is_found():
    """The folder holds at least the models of the reference table."""
    assert set(DOCUMENTED) <= set(MODELS.names())


def test_listing_models_does_not_import_torch():
    """A list of models costs no import of torch."""
    code = "import sys; from bigmodel_lab.models import MODELS; MODELS.names(); sys.exit('torch' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_unknown_model_names_the_nearest():
    """A misspelt model name is answered with the nearest one."""
    with pytest.raises(UnknownNameError, match="Did you mean 'simple_cnn'"):
        MODELS.get("simpel_cnn")


def test_name_is_the_file_name(card: ModelCard):
    """A card is named like its file."""
    assert MODELS.get(card.name) is card


def test_parameter_count_on_the_meta_device(card: ModelCard):
    """A model builds without memory and has as many weights as its card says."""
    with torch.device("meta"):
        model = card.build()

    assert all(p.is_meta for p in model.parameters())
    assert card.parameters == sum(p.numel() for p in model.parameters() if p.requires_grad)


def test_forward_shape(card: ModelCard):
    """A batch of samples becomes one row of scores a sample."""
    with torch.device("meta"):
        scores = card.build()(torch.empty(3, *card.input_shape))

    assert scores.shape == (3, card.classes)


def test_one_step_lowers_the_loss(card: ModelCard):
    """One small step along the gradient lowers the loss on the same batch."""
    model = card.create(seed=0)
    numbers = torch.Generator().manual_seed(1)
    x = torch.rand(8, *card.input_shape, generator=numbers)
    y = torch.randint(card.classes, (8,), generator=numbers)
    before = F.cross_entropy(model(x), y)

    before.backward()
    torch.optim.SGD(model.parameters(), lr=1e-3).step()

    assert F.cross_entropy(model(x), y).item() < before.item()


@pytest.mark.parametrize("name", DOCUMENTED)
def test_defaults_are_as_documented(name: str):
    """Size, optimizer, batch, epochs and precision are those of the source documents."""
    card = MODELS.get(name)
    d = card.defaults

    assert DOCUMENTED[name] == (card.parameters, d.micro_batch_size, d.epochs, d.precision)
    assert (d.optimizer, d.learning_rate) == ("adam", 1e-3)


def test_documented_result_of_the_mlp_is_quoted():
    """The figures of document D0 stand beside the model."""
    assert "85 % on validation" in str(MODELS.get("mlp").documented_result)


def test_card_tells_source_idea_and_errata(card: ModelCard):
    """Each model says where it comes from, what it is, and what its document got wrong."""
    assert card.source.startswith("D")
    assert str(card.idea).endswith(".")
    assert [str(e) for e in card.errata if not str(e).endswith(".")] == []


def test_same_seed_gives_the_same_weights(card: ModelCard):
    """Two models of one seed are equal to the bit, and another seed differs."""
    first, again, other = (torch.nn.utils.parameters_to_vector(card.create(s).parameters()) for s in (5, 5, 6))

    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_create_leaves_the_random_numbers_of_the_person(card: ModelCard):
    """Building a model does not move the global random numbers."""
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)

    card.create(seed=9)

    assert torch.equal(torch.rand(4), expected)
