"""What a report on data finds: each fault is planted, and named with its place."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bigmodel_lab.data import Data, Division, Split, examine, from_arrays, load_data
from bigmodel_lab.data._report import digests, value_range

KEEP = Division(validation_fraction=0, test_fraction=0)


def split_of(count: int, seed: int, classes: int = 4) -> Split:
    """Random samples of three features, all different."""
    x = torch.randn(count, 3, generator=torch.Generator().manual_seed(seed))
    return Split(x, torch.arange(count) % classes)


@pytest.fixture
def clean() -> Data:
    """Data without any fault."""
    return Data("own", "Example.", split_of(200, 1), split_of(40, 2), split_of(60, 3), scale=None, classes=4)


def with_train(data: Data, x: torch.Tensor | None = None, y: torch.Tensor | None = None) -> Data:
    """The data with other training samples or labels."""
    return replace(data, train=Split(data.train.x if x is None else x, data.train.y if y is None else y))


def only_warning(data: Data) -> str:
    """The one warning that the data gives rise to."""
    (warning,) = examine(data).warnings
    return warning


def test_clean_data_has_no_warnings(clean):
    """Where nothing is wrong, nothing is said."""
    facts = examine(clean)

    assert (facts.warnings, facts.leaks, facts.notes) == ((), (), ())
    assert [split.samples for split in facts.splits] == [200, 40, 60]
    assert facts.train.classes == (50, 50, 50, 50)


def test_the_embedded_digits_are_clean():
    """Real digits have no leak and no warning; their ranges are those of bytes."""
    facts = examine(load_data())

    assert (facts.warnings, facts.leaks) == ((), ())
    assert (facts.train.ranges[0].minimum, facts.train.ranges[0].maximum) == (0, 255)
    assert sum(facts.train.classes) == 1455


def test_data_stays_as_it_was(clean):
    """Looking changes nothing."""
    before = clean.train.x.clone()
    examine(clean)

    assert torch.equal(clean.train.x, before)


# ---------------------------------------------------------------- equal samples


def test_a_leak_into_the_test_samples(clean):
    """Training samples among the test samples are counted and named on both sides."""
    x = clean.test.x.clone()
    x[[4, 9]] = clean.train.x[[17, 3]]
    leaking = replace(clean, test=Split(x, clean.test.y))
    facts = examine(leaking)

    assert [(leak.known, leak.held, leak.count, leak.pairs) for leak in facts.leaks] == [
        ("train", "test", 2, ((4, 17), (9, 3)))
    ]
    assert "2 of 60 test samples are train samples too" in facts.warnings[0]
    assert "test[4] = train[17], test[9] = train[3]" in facts.warnings[0]


def test_leaks_between_all_splits(clean):
    """Validation samples among the test samples are a leak too; what spoils the test stands first."""
    x = clean.test.x.clone()
    x[0] = clean.validation.x[5] = clean.train.x[8]
    facts = examine(replace(clean, test=Split(x, clean.test.y)))

    assert {(leak.known, leak.held) for leak in facts.leaks} == {
        ("train", "validation"),
        ("train", "test"),
        ("validation", "test"),
    }
    assert "validation samples are train samples" in facts.warnings[-1]


def test_of_many_leaks_the_first_are_named(clean):
    """All are counted, ten are kept, three are told."""
    facts = examine(replace(clean, validation=Split(clean.train.x[:40].clone(), clean.train.y[:40])))

    assert (facts.leaks[0].count, len(facts.leaks[0].pairs)) == (40, 10)
    assert "validation[2] = train[2] …" in facts.warnings[0]


def test_duplicates_within_a_split(clean):
    """Of equal samples the later ones are duplicates of the first; a few are counted without a warning."""
    x = clean.train.x.clone()
    x[[10, 20, 32]] = x[[2, 0, 0]]
    facts = examine(with_train(clean, x=x))

    assert (facts.train.duplicates.count, facts.train.duplicates.first) == (3, (10, 20, 32))
    assert facts.train.contradictions.count == 0
    assert "3 of 200 train samples are an earlier one again: 10, 20, 32." in facts.warnings[0]


def test_equal_samples_of_different_classes(clean):
    """The same sample with another label is the graver fault, and named apart."""
    x = clean.train.x.clone()
    x[11] = x[2]
    facts = examine(with_train(clean, x=x))

    assert facts.train.contradictions.first == (11,)
    assert "1 of 200 train samples equal an earlier one and have another class: 11." in facts.warnings[0]


def test_samples_are_compared_to_the_byte():
    """Values that differ in their last bit are different samples."""
    x = torch.ones(2, 3)
    x[1, 2] += torch.finfo(torch.float32).eps

    assert len(set(digests(x))) == 2


@given(st.lists(st.lists(st.integers(0, 2), min_size=2, max_size=2), max_size=30))
def test_duplicates_are_all_found(rows):
    """As many samples are duplicates as there are fewer different ones."""
    marks = digests(torch.tensor(rows, dtype=torch.int64).reshape(-1, 2))

    assert len(marks) - len(set(marks)) == len(rows) - len({tuple(row) for row in rows})


# ---------------------------------------------------------------- values


def test_missing_values_are_named(clean):
    """Samples with NaN or infinite values are named; ranges leave these values out."""
    x = clean.train.x.clone()
    x[3, 1], x[8, 0], x[8, 2] = float("nan"), float("inf"), float("nan")
    facts = examine(with_train(clean, x=x))

    assert (facts.train.missing.count, facts.train.missing.first) == (2, (3, 8))
    assert facts.train.ranges[0].maximum < 10
    assert "2 of 200 train samples hold a value that is NaN or infinite: 3, 8." in facts.warnings[0]


def test_missing_numbers_to_predict():
    """A gap in what is to be predicted spoils the loss as well."""
    y = np.arange(40.0)
    y[5] = np.nan
    facts = examine(from_arrays((np.random.default_rng(0).normal(size=(40, 2)), y), task="regression", division=KEEP))

    assert facts.train.missing.count == 1
    assert (facts.train.targets.minimum, facts.train.targets.maximum, facts.class_names) == (0, 39, ())


@given(st.lists(st.floats(-1e3, 1e3, width=32), min_size=1, max_size=60), st.integers(1, 20))
def test_range_agrees_with_numpy(values, at_once):
    """Mean and deviation joined from parts are those of all values at once."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("bigmodel_lab.data._report._VALUES_AT_ONCE", at_once)
        found = value_range(torch.tensor(values, dtype=torch.float32))

    assert (found.minimum, found.maximum) == (min(values), max(values))
    assert found.mean == pytest.approx(np.mean(values), abs=1e-6)
    assert found.deviation == pytest.approx(np.std(values), abs=1e-6)


def test_images_have_a_range_for_each_channel():
    """Red, green and blue are looked at apart."""
    x = torch.stack([torch.full((30, 4, 4), value, dtype=torch.uint8) for value in (10, 20, 30)], 1)
    facts = examine(from_arrays((x, torch.arange(30) % 2), division=KEEP))

    assert [r.mean for r in facts.train.ranges] == [10, 20, 30]


def test_values_that_no_model_likes(clean):
    """Values far from 0 … 1 are told with their range and what to do."""
    assert "Values run from 0 to 199" in only_warning(with_train(clean, x=torch.arange(600.0).reshape(200, 3) // 3))


def test_bytes_that_are_scaled_are_no_fault():
    """Pixels 0 … 255 that reach the model as 0 … 1 are as they should be; without a scale they are told."""
    x = torch.arange(200 * 4, dtype=torch.int64).remainder(256).to(torch.uint8).reshape(200, 1, 2, 2)
    x[:, 0, 0, 0] = torch.arange(200)
    data = from_arrays((x, np.arange(200) % 2), division=KEEP)

    assert not any("Values run" in warning for warning in examine(data).warnings)
    assert any("Values run" in warning for warning in examine(replace(data, scale=None)).warnings)


def test_constant_features(clean):
    """A column with one value in all training samples says nothing."""
    x = clean.train.x.clone()
    x[:, 1] = 0.5

    assert "1 of 3 features have the same value in all training samples: 1." in only_warning(with_train(clean, x=x))


def test_borders_of_images_may_be_constant():
    """Pixels that are always black are counted, and no reason to warn."""
    facts = examine(load_data())

    assert facts.constant.count > 0
    assert facts.warnings == ()


# ---------------------------------------------------------------- classes


def test_unbalanced_classes(clean):
    """Largest and smallest class are named, and what guessing reaches."""
    y = torch.zeros(200, dtype=torch.int64)
    y[:60] = torch.arange(60) % 4
    y[:12] = 3
    warning = only_warning(with_train(replace(clean, class_names=("ant", "bee", "cat", "dog")), y=y))

    assert "'ant' has 152 training samples, 'bee' has 12" in warning
    assert "right in 76 %" in warning


def test_classes_without_training_samples(clean):
    """A class that cannot be learned is named."""
    facts = examine(with_train(clean, y=torch.arange(200) % 3))

    assert "1 of 4 classes have no training sample: 3." in facts.warnings[0]


def test_few_samples_to_judge_by(clean):
    """Classes with fewer than ten test samples are named."""
    few = Split(clean.test.x[:20], clean.test.y[:20])

    assert "4 of 4 classes have fewer than 10 test samples: 0, 1, 2, 3." in only_warning(replace(clean, test=few))


def test_nothing_to_judge_by(clean):
    """An empty split is told."""
    assert "There are no test samples" in only_warning(replace(clean, test=clean.test.select(torch.arange(0))))


def test_reconstruction_keeps_its_classes_for_people(clean):
    """What is learned from images is the image; equal images with two labels are no contradiction then."""
    x = clean.train.x.clone()
    x[11] = x[2]
    facts = examine(replace(with_train(clean, x=x), task="reconstruction"))

    assert (facts.train.contradictions.count, len(facts.train.classes)) == (0, 4)


# ---------------------------------------------------------------- texts


@pytest.fixture
def texts() -> Data:
    """Texts of 1 … 6 words in rows of 8, all of them known."""
    random = torch.Generator().manual_seed(0)
    x = torch.randint(2, 50, (300, 8), generator=random)
    for row, text in enumerate(x):
        text[1 + row % 6 :] = 0
    x[:, 0] = torch.arange(300) + 2
    words = tuple(f"word{n}" for n in range(302))
    split = Split(x, torch.arange(300) % 2)
    parts = [split.select(torch.arange(a, b)) for a, b in ((0, 200), (200, 250), (250, 300))]
    return Data("texts", "Example.", *parts, scale=None, classes=2, vocabulary=words)


def test_lengths_of_texts(texts):
    """Padding is no word; token numbers have no range."""
    facts = examine(texts)

    assert facts.train.words.lengths == (0, 34, 34, 33, 33, 33, 33, 0, 0)
    assert (facts.train.words.unknown, facts.train.ranges, facts.constant) == (0, (), None)
    assert facts.warnings == ()


def test_unknown_words(texts):
    """Many words that are not in the vocabulary are told for each split."""
    texts.test.x[:, 0] = 1
    warning = next(w for w in examine(texts).warnings if "vocabulary" in w)

    assert "of the words of the test texts are not in the vocabulary" in warning


def test_texts_that_were_cut_off(texts):
    """Texts that fill their row were probably longer."""
    x = texts.train.x.clone()
    x[:100] = x[:100].clamp(min=2)

    assert "50 % of the training texts fill their 8 places" in only_warning(with_train(texts, x=x))


def test_next_tokens_have_no_classes(texts):
    """What follows in a text has no balance of classes."""
    facts = examine(replace(texts, task="next_token", train=Split(texts.train.x, texts.train.x)))

    assert (facts.class_names, facts.train.classes) == ((), ())


# ---------------------------------------------------------------- order and origin


def test_the_most_severe_comes_first(clean):
    """Gaps spoil everything, a leak spoils the judgement, a constant feature little."""
    x = clean.train.x.clone()
    x[:, 1] = 0.5
    x[0, 0] = float("nan")
    test = Split(torch.cat([clean.test.x[:-1], x[1:2]]), clean.test.y)
    warnings = examine(replace(with_train(clean, x=x), test=test)).warnings

    assert ["NaN" in warnings[0], "test[59] = train[1]" in warnings[1], "features" in warnings[2]] == [True] * 3


def test_notes_of_reading_are_kept(clean):
    """Bad lines that reading named stand in the report."""
    assert examine(replace(clean, notes=("line 3 is missing",))).notes == ("line 3 is missing",)


def test_data_with_one_sample():
    """One sample alone has no constant features and no duplicates."""
    facts = examine(from_arrays((np.ones((1, 3)), [0]), division=KEEP))

    assert (facts.constant, facts.train.duplicates.count) == (None, 0)


@pytest.mark.parametrize("name", ["points_on_line", "example_342", "digits_reconstruction"])
def test_every_kind_of_data_is_examined(name):
    """Regressions, two samples, and images that are given back can be looked at."""
    facts = examine(load_data(name))

    assert facts.name == name
    assert facts.train.samples > 0


@given(
    st.lists(st.integers(0, 12), min_size=1, max_size=20),
    st.lists(st.integers(0, 12), max_size=20),
    st.lists(st.integers(0, 12), max_size=20),
)
def test_leaks_are_all_found(train, validation, test):
    """As many samples leak as a comparison one by one finds, and each pair that is named is equal."""
    parts = {"train": train, "validation": validation, "test": test}
    splits = [Split(torch.tensor(p, dtype=torch.float32)[:, None], torch.zeros(len(p)).long()) for p in parts.values()]
    leaks = {(leak.known, leak.held): leak for leak in examine(Data("own", "Example.", *splits, None, 1)).leaks}

    for known, held in (("train", "validation"), ("train", "test"), ("validation", "test")):
        expected = sum(value in parts[known] for value in parts[held])
        leak = leaks.get((known, held))
        assert (leak.count if leak else 0) == expected
        assert all(parts[held][a] == parts[known][b] for a, b in (leak.pairs if leak else ()))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64, torch.float32, torch.float64, torch.float16])
def test_values_of_every_type(dtype):
    """Bytes, tokens and numbers of any width have their range."""
    found = value_range(torch.tensor([1, 2, 3], dtype=dtype))

    assert (found.minimum, found.maximum, found.mean) == (1, 3, 2)


@pytest.mark.parametrize("values", [[], [float("nan")], [float("inf"), float("-inf")]])
def test_no_value_has_no_range(values):
    """Where nothing is known nothing is said, instead of 0."""
    assert value_range(torch.tensor(values)) is None


def test_large_offsets_do_not_spoil_the_deviation():
    """Values around a million that differ by one have a deviation near one, however many parts they come in."""
    values = 1e6 + torch.arange(4000, dtype=torch.float64).remainder(3)

    assert value_range(values).deviation == pytest.approx(float(values.var(correction=0)) ** 0.5, rel=1e-9)
