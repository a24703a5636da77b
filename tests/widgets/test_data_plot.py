"""Data as a figure."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch

from bigmodel_lab.data import Data, Division, examine, from_arrays, load_data
from bigmodel_lab.data._text import text_data
from bigmodel_lab.errors import MissingPackageError
from bigmodel_lab.widgets._data_plot import _edges, data_figure


def drawn(data: Data, **options):
    """The figure of this data."""
    return data_figure(examine(data), data, **options)


def titles(figure) -> list[str]:
    """What each chart shows."""
    return [axes.get_title(loc="left") for axes in figure.axes]


@pytest.fixture(scope="module")
def digits():
    """The figure of the embedded digits."""
    return drawn(load_data())


def images(count: int = 60) -> Data:
    """Small images of three classes."""
    x = torch.randint(0, 256, (count, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    return from_arrays((x, torch.arange(count) % 3), class_names=("ant", "bee", "cat"))


def test_images_show_balance_values_and_samples(digits):
    """Three charts, and pyplot is not asked."""
    assert titles(digits) == ["Classes: share of each split", "Training values (% of all)", "Training samples"]


def test_pyplot_is_not_imported():
    """The figure belongs to the caller alone."""
    before = "matplotlib.pyplot" in sys.modules
    drawn(images())

    assert ("matplotlib.pyplot" in sys.modules) == before


def test_every_split_has_a_bar_for_each_class(digits):
    """Ten classes in three splits; the bars of a split add up to 100 %."""
    bars = digits.axes[0].containers

    assert [len(split) for split in bars] == [10, 10, 10]
    assert all(sum(bar.get_height() for bar in split) == pytest.approx(100) for split in bars)


def test_classes_have_their_names():
    """The names stand below the bars and below the samples."""
    figure = drawn(images())

    for axes in (figure.axes[0], figure.axes[2]):
        assert [label.get_text() for label in axes.get_xticklabels()] == ["ant", "bee", "cat"]


def test_samples_stand_below_each_other_by_class():
    """Each column holds the first three training images of a class, pixel by pixel, with gaps that let the page through."""
    data = images()
    mosaic = np.asarray(drawn(data).axes[2].images[0].get_array())
    second = torch.nonzero(data.train.y == 1).flatten()[2]

    assert mosaic.shape == (3 * 10 - 2, 3 * 10 - 2, 4)
    assert np.allclose(mosaic[20:28, 10:18, :3], data.train.x[second].permute(1, 2, 0).numpy() / 255)
    assert mosaic[:, 8:10, 3].max() == 0


def test_a_class_with_few_images_leaves_gaps():
    """A class without enough images leaves its places empty."""
    x = torch.randint(0, 256, (4, 1, 8, 8), dtype=torch.uint8)
    part = (x, torch.tensor([0, 0, 0, 1]))
    mosaic = np.asarray(drawn(from_arrays({"train": part, "validation": part})).axes[2].images[0].get_array())

    assert mosaic[10:, 10:, 3].max() == 0
    assert mosaic[:8, 10:, 3].min() == 1


def test_texts_show_their_lengths():
    """Token numbers are no values; lengths are whole numbers."""
    documents = ["rain and snow", "a goal and a pass and a goal"] * 20
    figure = drawn(text_data("own", "Two topics.", documents, ["weather", "football"] * 20, Division()))

    assert titles(figure) == ["Classes: share of each split", "Words of a text"]


def test_next_tokens_show_frequent_words():
    """Where nothing has a class the most frequent words are shown, the first on top."""
    x = np.array([[2, 3, 2, 3, 2], [2, 2, 4, 2, 3]] * 10)
    data = from_arrays((x[:, :-1], x[:, 1:]), task="next_token")
    data = Data(**{**vars(data), "vocabulary": ("", "?", "the", "cat", "sat")})
    axes, ranks = drawn(data).axes

    assert ranks.lines[0].get_ydata().tolist() == sorted(data.train.x.unique(return_counts=True)[1].tolist())[::-1]
    assert [label.get_text() for label in axes.get_yticklabels()][:2] == ["the", "cat"]
    assert axes.yaxis_inverted()


def test_tables_show_the_range_of_each_feature():
    """A bar from the lowest to the highest value of each column, whatever is missing in it."""
    x = np.random.default_rng(0).normal(size=(60, 4))
    x[3, 1] = np.nan
    x[:, 2] = np.nan
    axes = drawn(from_arrays((x, np.arange(60) % 2))).axes[1]

    assert axes.get_title(loc="left") == "Training features: range and mean"
    assert len(axes.lines) == 2 * 3


def test_numbers_to_predict_show_their_distribution():
    """A regression shows where its targets lie, by split."""
    figure = drawn(load_data("points_on_line"))

    assert titles(figure) == ["Numbers to predict", "Training values (% of all)"]
    assert len(figure.axes[0].get_legend().get_texts()) == 3


def test_values_that_are_all_missing_are_no_error():
    """A chart with nothing to show stays empty."""
    data = from_arrays((np.full((30, 1), np.nan), np.full(30, np.nan)), task="regression")

    assert len(drawn(data).axes) == 2


def test_one_sample_is_drawn():
    """The smallest data has a figure."""
    assert len(drawn(load_data("example_342")).axes) == 2


def test_many_classes_are_drawn_without_names():
    """More names than fit are left out."""
    data = from_arrays((np.arange(400.0)[:, None], np.arange(400) % 100))

    assert len(drawn(data).axes[0].get_xticklabels()) < 30


def test_dark_figures_have_light_letters():
    """The ground is dark and titles are light, and the settings of others stay."""
    figure = drawn(images(), dark=True)

    assert sum(figure.get_facecolor()[:3]) < 0.5
    assert figure.axes[0].title.get_color() == "#e6edf3"
    assert sum(drawn(images()).get_facecolor()[:3]) == 3


def test_without_matplotlib_the_extra_is_named(monkeypatch):
    """The message says what to install."""
    monkeypatch.setattr("bigmodel_lab.widgets._figure.find_spec", lambda _: None)

    with pytest.raises(MissingPackageError, match=r"bigmodel_lab\[train\]"):
        drawn(images())


@pytest.mark.parametrize(
    ("values", "width"),
    [(np.arange(256.0).repeat(10), 7), (np.arange(5.0).repeat(9), 1), (np.zeros(4), 1), (np.arange(-20.0, 21), 6)],
)
def test_whole_numbers_share_bins_evenly(values, width):
    """Each bin holds equally many whole numbers, so that no bar stands out by the borders alone."""
    edges = _edges(values)

    assert np.diff(edges).tolist() == [width] * (len(edges) - 1)
    assert edges[0] == values.min() - 0.5
    assert edges[-1] > values.max()
    assert np.histogram(values, edges)[0].sum() == len(values)


@pytest.mark.parametrize(("count", "bins"), [(4, 8), (400, 20), (90_000, 40)])
def test_many_values_have_more_bins(count, bins):
    """Few values do not make many bins with one value each."""
    assert len(_edges(np.linspace(0.1, 0.9, count))) == bins + 1


def test_shares_of_a_histogram_add_up():
    """The bars of each split are per cent of that split, however large it is."""
    figure = drawn(load_data("points_on_line"))

    assert all(sum(patch.get_data().values) == pytest.approx(100) for patch in figure.axes[0].patches)


def test_long_class_names_are_turned_and_cut():
    """Names that would run into each other stand askew, and end after sixteen letters."""
    names = [f"a very long name of class {n}" for n in range(8)]
    data = from_arrays((np.arange(80.0)[:, None], np.arange(80) % 8), class_names=names)
    labels = drawn(data).axes[0].get_xticklabels()

    assert {label.get_rotation() for label in labels} == {40}
    assert labels[0].get_text() == "a very long nam…"


def test_short_class_names_stand_upright(digits):
    """Ten digits have room."""
    assert {label.get_rotation() for label in digits.axes[0].get_xticklabels()} == {0}


def test_colours_of_an_image_have_a_line_each():
    """Red, green and blue are drawn apart; grey images and tables have one line."""
    assert len(drawn(images()).axes[1].patches) == 3
    assert len(drawn(load_data("points_on_line")).axes[1].patches) == 1


def test_images_without_classes_are_shown_in_order():
    """A number to predict from an image: the first thirty training images are shown."""
    x = torch.randint(0, 256, (50, 1, 8, 8), dtype=torch.uint8)
    data = from_arrays((x, torch.rand(50)), task="regression")
    axes = drawn(data).axes[2]

    assert axes.images[0].get_array().shape == (28, 98, 4)
    assert len(axes.get_xticks()) == 0


def test_the_bars_of_an_empty_split_are_left_out():
    """Where nothing is tested nothing is drawn for it."""
    data = load_data("digits", test_fraction=0)

    assert [text.get_text() for text in drawn(data).axes[0].get_legend().get_texts()] == ["train", "validation"]
