"""A batch of someone else's loop, made in parts: what is put back, what is kept, and when it is given up."""

from __future__ import annotations

import pytest
import torch

import bigmodel_lab as lab
from bigmodel_lab.api._foreign_oom import ForeignOom, InParts
from bigmodel_lab.errors import ConfigError
from tests.api.full_memory import MESSAGE, FullAt, Limited, apart, dataset, noted, said


@pytest.fixture
def watch():
    """A run that takes the events."""
    with lab.watch() as watched:
        yield watched


def batch():
    """Ten samples."""
    x, y = dataset().tensors
    return x[:10], y[:10]


def make(parts, model, ready=lambda _: None):
    """One batch, forward and backward, as a plain loop would."""

    def passes():
        for number, ((x, y), share) in enumerate(parts.pieces):
            parts.phase = "forward"
            loss = torch.nn.functional.cross_entropy(model(x), y) * share
            parts.backward_begins()
            ready(number)
            loss.backward()

    parts.begin(batch())
    parts.until_it_fits(passes)


def gradient(model):
    """Of the first layer."""
    return model.features.weight.grad


@pytest.mark.parametrize("where", ["forward", "backward"])
def test_gradients_are_those_of_the_whole_batch(watch, where):
    """Four parts of 3, 3, 3 and 1 samples add up, wherever the whole ran out."""
    model, free = Limited(3, where), Limited()
    make(InParts(watch, model), model)
    make(InParts(watch, free), free)

    assert float((gradient(model) - gradient(free)).norm() / gradient(free).norm()) < 1e-12


def test_the_number_of_parts_is_kept(watch):
    """A later batch is not tried whole again."""
    model = Limited(3)
    parts = InParts(watch, model)
    make(parts, model)
    before = model.passes
    model.zero_grad()
    make(parts, model)

    assert model.passes - before == 4


def test_every_change_is_in_the_run(watch):
    """In halves, then in quarters: two failures, each settled."""
    make(InParts(watch, model := Limited(3, "backward")), model)

    failures, settled = said(watch.run, "out_of_memory"), said(watch.run, "out_of_memory_settled")
    assert [(one["phase"], one["action"], one["requested_bytes"]) for one in failures] == [
        ("backward", "shrink", 2 * 2**30)
    ] * 2
    assert [(one["parts"], one["micro_batch_size"]) for one in settled] == [(2, 5), (4, 3)]


def test_every_change_is_one_line(watch, capsys):
    """What is done now, in words."""
    make(InParts(watch, model := Limited(5)), model)

    line = (
        "Out of memory at step 1 (forward). From here on a batch of 10 is made in 2 parts of at most 5; the effective "
    )
    assert capsys.readouterr().out.splitlines()[-1] == line + "batch stays."


def test_statistics_are_put_back(watch):
    """A buffer that a broken try has changed counts no sample twice."""
    make(InParts(watch, model := Limited(3, "backward")), model)

    assert model.seen.item() == 10


def test_random_numbers_are_put_back(watch):
    """Dropout draws in the parts what it would have drawn if nothing had been tried before."""
    tried, cut = Limited(5, "backward", dropout=0.5), Limited(dropout=0.5)
    torch.manual_seed(1)
    make(InParts(watch, tried), tried)
    parts = InParts(watch, cut)
    parts._count = 2
    torch.manual_seed(1)
    make(parts, cut)

    assert torch.equal(gradient(tried), gradient(cut))


def test_a_single_sample_that_does_not_fit_is_the_original_error(watch):
    """With its message, and a note that says so."""
    model = Limited(0)
    with pytest.raises(torch.OutOfMemoryError, match="Tried to allocate") as caught:
        make(InParts(watch, model), model)

    assert noted(caught.value, "a single sample does not fit")


def test_a_batch_that_cannot_be_cut_is_the_original_error(watch):
    """Nothing is guessed about objects of unknown kind."""
    parts = InParts(watch, Limited())
    parts.begin(object())

    def full():
        raise torch.OutOfMemoryError(MESSAGE)

    with pytest.raises(torch.OutOfMemoryError) as caught:
        parts.until_it_fits(full)
    assert noted(caught.value, "without a guess")


def test_gradients_of_earlier_batches_are_not_risked(watch):
    """A broken backward pass on top of them ends the training, and says why."""
    model = FullAt(2, "backward")
    parts = InParts(watch, model)
    make(parts, model)
    parts.first = False
    with pytest.raises(torch.OutOfMemoryError) as caught:
        make(parts, model)

    assert noted(caught.value, "not the first of an accumulated step")


def test_a_forward_pass_of_a_later_batch_is_made_again(watch):
    """It has not touched the gradients of the batches before."""
    model, free = FullAt(2), Limited()
    for one in (model, free):
        parts = InParts(watch, one)
        make(parts, one)
        parts.first = False
        make(parts, one)

    assert float((gradient(model) - gradient(free)).norm() / gradient(free).norm()) < 1e-12


def test_zeros_stay_zeros(watch):
    """A loop that sets gradients to zero rather than to None finds its tensors again."""
    model, free = Limited(5, "backward"), Limited()
    model.features.weight.grad = zeros = torch.zeros_like(model.features.weight)
    make(InParts(watch, model), model)
    make(InParts(watch, free), free)

    assert gradient(model) is zeros
    assert torch.allclose(zeros, gradient(free), rtol=1e-12)


def test_other_errors_pass(watch):
    """A mistake in the model is no matter of memory."""
    parts = InParts(watch, Limited())
    parts.begin(batch())

    def wrong():
        raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError, match="shapes do not match"):
        parts.until_it_fits(wrong)
    assert said(watch.run, "out_of_memory") == []


def test_methods_are_put_back_as_they_were():
    """Those of the class are seen again, and those of the object are the object's."""

    class Owner:
        def step(self):
            """Of the class."""

    owner, own, oom = Owner(), object(), ForeignOom("shrink")
    owner.loss = own
    oom.replace(owner, "step", print)
    oom.replace(owner, "loss", print)
    oom.put_back()

    assert vars(owner) == {"loss": own}


@pytest.mark.parametrize("callback", [lab.LightningCallback, lab.TransformersCallback])
def test_what_cannot_be_had_is_refused_at_once(callback):
    """The error says what came and what there is."""
    with pytest.raises(ConfigError, match=r"on_oom is 'ask', but must be: raise \| shrink \| checkpoint"):
        callback(on_oom="ask")


def test_weights_of_the_same_model_are_not_apart():
    """The measure of these tests tells a difference, and none where there is none."""
    one, other = Limited(), Limited()
    with torch.no_grad():
        other.head.weight += 1

    assert apart(one, Limited()) == 0
    assert apart(one, other) > 0.1
