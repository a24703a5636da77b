"""From which number on the report warns, and in which words."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bigmodel_lab.data._report_facts import DataFacts, Leak, Places, Range, SplitFacts, Words
from bigmodel_lab.data._report_warnings import warnings_of

NONE = Places(0, ())


def split(name: str, samples: int, classes: tuple[int, ...] = (), **changed: object) -> SplitFacts:
    """One split without any fault."""
    usual = SplitFacts(name, samples, (Range(0.0, 1.0, 0.5, 0.3),), None, classes, NONE, NONE, NONE, None)
    return replace(usual, **changed)


def facts(*splits: SplitFacts, **changed: object) -> DataFacts:
    """Data of two classes; splits that are not given are without fault."""
    given = {one.name: one for one in splits}
    usual = [
        split("train", 200, (100, 100)),
        split("validation", 40, (20, 20)),
        split("test", 60, (30, 30)),
    ]
    whole = DataFacts(
        name="own",
        description="Example.",
        task="classification",
        input_shape=(5,),
        dtype="float32",
        scale=None,
        class_names=("ant", "bee"),
        vocabulary=0,
        sha256=None,
        splits=tuple(given.get(one.name, one) for one in usual),
        leaks=(),
        constant=NONE,
        notes=(),
    )
    return replace(whole, **changed)


def test_nothing_to_say():
    """Data without a fault gives no warning."""
    assert warnings_of(facts()) == ()


@pytest.mark.parametrize(("few", "warned"), [(41, False), (40, True), (1, True)])
def test_how_unbalanced_classes_may_be(few, warned):
    """From five times as many samples in one class on, it is told."""
    said = warnings_of(facts(split("train", 200 + few, (200, few))))

    assert any("unbalanced" in warning for warning in said) == warned


def test_absent_classes_are_not_called_unbalanced():
    """A class without samples is told once, as absent."""
    (warning,) = warnings_of(facts(split("train", 100, (100, 0))))

    assert warning == "1 of 2 classes have no training sample: bee."


@pytest.mark.parametrize(("count", "warned"), [(1, False), (2, False), (3, True)])
def test_how_many_duplicates_are_told(count, warned):
    """More than one sample in a hundred is told; fewer stand in the table alone."""
    said = warnings_of(facts(split("train", 200, (100, 100), duplicates=Places(count, (4,)))))

    assert bool(said) == warned


@pytest.mark.parametrize("count", [1, 200])
def test_every_missing_value_is_told(count):
    """One gap is enough to spoil a run."""
    said = warnings_of(facts(split("train", 200, (100, 100), missing=Places(count, (7,)))))

    assert said[0].startswith(f"{count} of 200 train samples hold a value that is NaN or infinite: 7")


@pytest.mark.parametrize(("places", "shown"), [(Places(2, (3, 9)), "3, 9."), (Places(12, (3, 9)), "3, 9 ….")])
def test_numbers_that_are_not_all_shown(places, shown):
    """Three dots say that there are more."""
    (warning,) = warnings_of(facts(split("train", 200, (100, 100), missing=places)))

    assert f"infinite: {shown}" in warning


@pytest.mark.parametrize(
    ("low", "high", "scale", "warned"),
    [(0, 1, None, False), (-20, 20, None, False), (0, 21, None, True), (-300, 0, None, True), (0, 255, 1 / 255, False)],
)
def test_which_values_are_large(low, high, scale, warned):
    """What reaches the model counts: bytes after their scale, negative values too."""
    ranges = (Range(0.0, 1.0, 0.5, 0.3), Range(float(low), float(high), 0.0, 1.0))
    said = warnings_of(facts(split("train", 200, (100, 100), ranges=ranges), scale=scale))

    assert bool(said) == warned
    assert not warned or f"Values run from {low} to {high or 1}" in said[0]


@pytest.mark.parametrize(("count", "warned"), [(9, True), (10, False)])
def test_how_few_samples_judge(count, warned):
    """Fewer than ten test samples of a class judge by chance."""
    said = warnings_of(facts(split("test", 30 + count, (30, count))))

    assert ["1 of 2 classes have fewer than 10 test samples: bee." in warning for warning in said] == [True] * warned


@pytest.mark.parametrize(("share", "warned"), [(None, False), (0.2, False), (0.25, True)])
def test_how_many_unknown_words(share, warned):
    """More than one unknown word in five is told, of each split."""
    words = Words((0, 10, 50), share)
    said = warnings_of(facts(split("test", 60, (30, 30), words=words), vocabulary=50))

    assert ["25 % of the words of the test texts" in warning for warning in said] == [True] * warned


@pytest.mark.parametrize(
    ("full", "task", "warned"), [(50, "classification", 0), (51, "classification", 1), (200, "next_token", 0)]
)
def test_how_many_texts_may_fill_their_row(full, task, warned):
    """More than a quarter of the texts cut off is told; a corpus for next tokens fills every row."""
    train = split("train", 200, (100, 100), words=Words((0, 200 - full, full), 0.0))
    said = warnings_of(facts(train, vocabulary=50, task=task))

    assert len([warning for warning in said if "fill their 2 places" in warning]) == warned


@pytest.mark.parametrize(("shape", "warned"), [((5,), True), ((1, 28, 28), False)])
def test_constant_features_of_tables_alone(shape, warned):
    """A column that never changes is a fault of a table; a border is none of an image."""
    assert bool(warnings_of(facts(constant=Places(1, (2,)), input_shape=shape))) == warned


@pytest.mark.parametrize("name", ["validation", "test"])
def test_empty_splits_are_told(name):
    """Nothing is judged by an empty split."""
    assert warnings_of(facts(split(name, 0))) == (f"There are no {name} samples, so nothing is judged by them.",)


def test_the_order_of_severity():
    """Of everything at once: gaps, leaks (the test first), false labels, absent classes, values, the rest."""
    leaks = (Leak("train", "validation", 1, ((0, 0),)), Leak("train", "test", 1, ((1, 1),)))
    broken = split(
        "train",
        200,
        (200, 0),
        missing=Places(1, (1,)),
        duplicates=Places(9, (2,)),
        contradictions=Places(1, (2,)),
        ranges=(Range(0.0, 99.0, 9.0, 9.0),),
    )
    said = warnings_of(facts(broken, split("test", 0), leaks=leaks, constant=Places(1, (0,))))
    marks = ["NaN", "0 test samples are train", "validation samples are train", "another class", "no training sample"]
    marks += ["Values run", "again", "same value", "There are no test"]

    assert [mark in warning for mark, warning in zip(marks, said, strict=True)] == [True] * 9


def test_of_many_classes_ten_are_named():
    """A long list ends with three dots."""
    names = tuple(f"class {n}" for n in range(12))
    train = split("train", 10, (10, *[0] * 11))
    said = warnings_of(facts(train, split("validation", 0), split("test", 0), class_names=names))

    assert said[0].startswith("11 of 12 classes have no training sample: class 1, class 2")
    assert said[0].endswith("class 10 ….")
