"""The contract of every large model, proved on each member of the family without a number of its weights."""

from __future__ import annotations

import copy
import subprocess
import sys
from dataclasses import FrozenInstanceError
from functools import cache

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from bigmodel_lab.errors import ConfigError, UnknownNameError
from bigmodel_lab.i18n import Text
from bigmodel_lab.subjects import SUBJECTS, Batch, Subject
from bigmodel_lab.trace._fake import batch_of_stand_ins, model_of_stand_ins
from tests.subjects.shapes import kept_bytes

DOCUMENTED = {
    "alexnet": 61_100_840,
    "vgg16": 138_357_544,
    "resnet50": 25_557_032,
    "inception_v3": 27_161_264,
    "dcgan": 36_087_808,
    "wavenet": 59_038_464,
    "deep_speech_2": 88_723_869,
    "yolov5s": 7_235_389,
    "transformer_base": 63_082_496,
    "bert_base": 109_514_298,
    "gpt2": 124_439_808,
}
"""Weights by publication, or worked out from the published shapes where no exact number is printed."""
SHORT = {"deep_speech_2": {"frames": 16, "letters": 3}}
"""Sizes that keep a test short: a recurrent layer is traced step by step."""


@pytest.fixture(scope="module", params=SUBJECTS.names())
def subject(request: pytest.FixtureRequest) -> Subject:
    """Each member of the family in turn."""
    return SUBJECTS.get(request.param)


@cache
def on_meta(name: str) -> nn.Module:
    """The model without any number."""
    with torch.device("meta"):
        return SUBJECTS.get(name).build()


def shallow(subject: Subject) -> nn.Module:
    """The model without any number, with two layers where their number is an option."""
    options = {"n_layer", "num_hidden_layers"} & set(getattr(subject.build, "keywords", {}))
    if subject.name in {"deep_speech_2", "transformer_base"}:
        options.add("layers")
    with torch.device("meta"):
        return subject.build(**dict.fromkeys(options, 2))


def example(subject: Subject, samples: int) -> Batch:
    """A short batch without any number."""
    with torch.device("meta"):
        return subject.example(samples, **SHORT.get(subject.name, {}))


# ---------------------------------------------------------------- the family


def test_the_documented_models_are_there():
    """Every model that the documents name has its file."""
    assert set(DOCUMENTED) <= set(SUBJECTS.names())


def test_listing_does_not_import_torch():
    """A list of large models costs no import of torch."""
    code = "import sys; from bigmodel_lab.subjects import SUBJECTS; SUBJECTS.names(); sys.exit('torch' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_an_unknown_model_names_the_nearest():
    """A misspelt name is answered with the nearest one."""
    with pytest.raises(UnknownNameError, match=r"no large model named 'resnet5'\. Did you mean 'resnet50'"):
        SUBJECTS.get("resnet5")


# ---------------------------------------------------------------- the card


def test_name_is_the_file_name(subject: Subject):
    """A subject is named like its file."""
    assert SUBJECTS.get(subject.name) is subject


def test_it_tells_source_idea_and_sample(subject: Subject):
    """Each model says where it comes from, what it is and what it takes, in sentences."""
    sentences = (subject.idea, subject.inputs, *([subject.training] if subject.training else []))

    assert [str(sentence) for sentence in sentences if not str(sentence).endswith(".")] == []
    assert any(letter.isdigit() for letter in subject.source)


def test_keys_of_its_texts_are_its_own(subject: Subject):
    """Two models never share a key for different words."""
    own = [text.key for text in vars(subject).values() if isinstance(text, Text)]

    assert [key for key in own if not key.startswith(("subject.inputs.", f"subject.{subject.name}."))] == []


def test_its_file_names_the_source(subject: Subject):
    """The docstring of the file begins with what the model is and holds a line that starts with "Source"."""
    docs = sys.modules[f"bigmodel_lab.subjects.{subject.name}"].__doc__ or ""

    assert "\nSource: " in docs


# ---------------------------------------------------------------- the model


def test_weights_are_as_many_as_published(subject: Subject):
    """The built model has exactly the parameters of its card, and these are the published ones."""
    weights = sum(weight.numel() for weight in on_meta(subject.name).parameters() if weight.requires_grad)

    assert weights == subject.parameters == DOCUMENTED.get(subject.name, weights)


def test_it_is_built_without_a_number(subject: Subject):
    """Under torch.device("meta") weights and buffers take no memory."""
    model = on_meta(subject.name)

    assert {tensor.device.type for tensor in (*model.parameters(), *model.buffers())} == {"meta"}


def test_it_is_built_for_training(subject: Subject):
    """Dropout, batch statistics and second classifiers are on."""
    assert all(module.training for module in on_meta(subject.name).modules())


# ---------------------------------------------------------------- the batch


def test_dimension_0_of_every_tensor_counts_the_samples(subject: Subject):
    """So that a batch can be scaled."""
    assert {tensor.shape[0] for tensor in example(subject, 3).values()} == {3}


def test_the_same_batch_lies_on_the_cpu(subject: Subject):
    """Shapes and types do not depend on the device."""
    real = subject.example(2, **SHORT.get(subject.name, {}))

    assert {name: (t.shape, t.dtype, t.device.type) for name, t in real.items()} == {
        name: (t.shape, t.dtype, "cpu") for name, t in example(subject, 2).items()
    }


def test_every_size_can_be_chosen(subject: Subject):
    """Each size changes the shape of some tensor."""
    usual = example(subject, 2)
    with torch.device("meta"):
        for name, size in subject.sizes.items():
            smaller = subject.example(2, **{name: size // 32 * 16 or 1})
            assert [t.shape for t in smaller.values()] != [t.shape for t in usual.values()], name


def test_an_unknown_size_is_answered_with_those_there_are(subject: Subject):
    """A misspelt size never goes unnoticed."""
    with pytest.raises(UnknownNameError, match=f"There is no size of {subject.name} named 'lenght'"):
        subject.example(2, lenght=7)


@pytest.mark.parametrize("below", [1, 3])
def test_a_batch_has_samples(subject: Subject, below: int):
    """Nothing is estimated for fewer than the model can be trained with."""
    samples = subject.fewest_samples - below
    with pytest.raises(ConfigError, match=f"samples is {samples}, and it must be at least {subject.fewest_samples}"):
        subject.example(samples)


def test_a_size_is_at_least_1(subject: Subject):
    """Nor for an empty sample."""
    for name in subject.sizes:
        with pytest.raises(ConfigError, match=f"{name} is 0"):
            subject.example(2, **{name: 0})


# ---------------------------------------------------------------- the card as a value


def test_a_subject_cannot_be_changed(subject: Subject):
    """What is published stays as it is."""
    with pytest.raises(FrozenInstanceError):
        subject.parameters = 0  # type: ignore[misc]


def test_building_twice_gives_two_models(subject: Subject):
    """No weight is shared between them."""
    first, second = shallow(subject), shallow(subject)

    assert {id(weight) for weight in first.parameters()}.isdisjoint(id(weight) for weight in second.parameters())


def test_a_copy_is_as_large(subject: Subject):
    """An estimate works on copies: weights that are used twice stay one."""
    model = shallow(subject)
    copied = copy.deepcopy(model)

    assert sum(w.numel() for w in copied.parameters()) == sum(w.numel() for w in model.parameters())


# ---------------------------------------------------------------- the step


@pytest.mark.parametrize("name", [name for name in SUBJECTS.names() if SUBJECTS.get(name).package is None])
def test_each_sample_more_keeps_as_many_bytes_more(name: str):
    """Activations grow in a straight line, so that an estimate can be scaled to other batches."""
    subject = SUBJECTS.get(name)
    model = shallow(subject)
    kept = [kept_bytes(lambda n=n: subject.loss(model, example(subject, n))) for n in (2, 3, 4)]

    assert kept[2] - kept[1] == kept[1] - kept[0] > 0


def test_the_step_gives_a_scalar_that_backward_starts_from(subject: Subject):
    """On fake tensors, as for an estimate; the fewest samples are enough, and every weight gets its gradient."""
    mode = FakeTensorMode()
    model = model_of_stand_ins(shallow(subject), mode)
    batch = batch_of_stand_ins(example(subject, subject.fewest_samples), mode)
    with mode:
        loss = subject.loss(model, batch)
        loss.backward()

    assert loss.shape == ()
    assert [name for name, weight in model.named_parameters() if weight.grad is None] == []
