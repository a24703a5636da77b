"""A predicted peak against cards."""

from __future__ import annotations

from itertools import pairwise, product
from random import Random

import pytest

from bigmodel_lab.errors import UnknownNameError
from bigmodel_lab.memory.cards import Card, Figure, card, cards
from bigmodel_lab.memory.fits import COLOURS, VERDICTS, Fit, fit_on, fits_on, fits_table, table_of_fits

MIB, GIB = 2**20, 2**30
CARD = Card.exact("ten", 10 * GIB, (8, 0), GIB, "made for this test")
"""9 GiB are left beside its context."""


def between(total: tuple[int, int], context: tuple[int, int]) -> Card:
    """A card between two totals and two contexts."""
    (low, high), (little, much) = (tuple(Figure(size, "made") for size in sizes) for sizes in (total, context))
    return Card("between", (8, 0), low, high, little, little, much)


LOOSE = between((9 * GIB, 11 * GIB), (GIB, 2 * GIB))
"""Between 7 and 10 GiB are left beside its context."""


def fit(least: float, most: float, others: float = 0, on: Card = CARD) -> Fit:
    """A range in GiB against a card."""
    return Fit(on, (round(least * GIB), round(most * GIB)), round(others * GIB))


@pytest.mark.parametrize(
    ("least", "most", "verdict"),
    [(4, 5, "fits"), (8, 9, "fits"), (8, 9.5, "uncertain"), (9, 9.5, "uncertain"), (9.1, 9.5, "does not fit")],
)
def test_the_verdict_follows_the_reserved_range(least: float, most: float, verdict: str) -> None:
    """It fits where the most does, does not where the least is too much, and is uncertain in between."""
    assert fit(least, most).verdict == verdict


@pytest.mark.parametrize(
    ("least", "most", "verdict"),
    [(6, 7, "fits"), (6, 7.1, "uncertain"), (8, 8, "uncertain"), (10, 11, "uncertain"), (10.1, 11, "does not fit")],
)
def test_the_verdict_follows_the_ranges_of_the_card(least: float, most: float, verdict: str) -> None:
    """The smallest total beside the largest context to fit, the largest beside the smallest not to."""
    assert fit(least, most, on=LOOSE).verdict == verdict


def test_a_byte_decides() -> None:
    """The limit belongs to what fits, at both ends."""
    assert [Fit(CARD, (GIB, 9 * GIB + more)).verdict for more in (0, 1)] == ["fits", "uncertain"]
    assert [Fit(CARD, (9 * GIB + more, 10 * GIB)).verdict for more in (0, 1)] == ["uncertain", "does not fit"]


def drawn(random: Random) -> Fit:
    """Any ranges, around a card of 16 MiB, so that all verdicts occur."""

    def two(low: int, high: int) -> tuple[int, int]:
        one, other = sorted((random.randint(low, high), random.randint(low, high)))
        return one, other

    on = between(two(12 * MIB, 16 * MIB), two(0, 3 * MIB))
    return Fit(on, two(4 * MIB, 16 * MIB), random.choice((0, random.randint(0, 6 * MIB))))


FITS = [drawn(random) for random in [Random(7)] for _ in range(500)]


def combinations(one: Fit) -> list[int]:
    """What is left at each combination of the ends of its ranges."""
    return [
        total - context - reserved - one.others_bytes
        for total, context, reserved in product(one.card.total_range, one.card.context_range, one.reserved_range)
    ]


def test_it_fits_exactly_where_every_combination_does() -> None:
    """A false "fits" is the worst failure: none of the ranges may exceed the card at any of their ends."""
    assert [one.verdict == "fits" for one in FITS] == [min(combinations(one)) >= 0 for one in FITS]


def test_it_does_not_fit_exactly_where_no_combination_does() -> None:
    """And nobody is sent away whose step may run."""
    assert [one.verdict == "does not fit" for one in FITS] == [max(combinations(one)) < 0 for one in FITS]


def test_all_verdicts_were_drawn() -> None:
    """The properties say something about each."""
    assert {one.verdict for one in FITS} == set(VERDICTS)


def test_it_says_what_is_left_at_both_ends() -> None:
    """At worst and at best."""
    assert [(one.free_bytes, one.free_at_best_bytes) for one in FITS] == [
        (min(combinations(one)), max(combinations(one))) for one in FITS
    ]


def rank(one: Fit) -> int:
    """The better the higher."""
    return VERDICTS.index(one.verdict)


def test_more_is_never_better() -> None:
    """A longer range upwards, more of the same, or more in the hands of others never improves the verdict."""
    for one in FITS:
        least, most = one.reserved_range
        wider = Fit(one.card, (least, most + MIB), one.others_bytes)
        larger = Fit(one.card, (least + MIB, most + MIB), one.others_bytes)
        crowded = Fit(one.card, one.reserved_range, one.others_bytes + MIB)

        assert max(rank(wider), rank(larger), rank(crowded)) <= rank(one)


def test_a_reason_makes_fits_uncertain_and_nothing_else() -> None:
    """What was not followed could only be larger: it saves nobody whom even the least is too much for."""
    for one in FITS:
        doubted = Fit(one.card, one.reserved_range, one.others_bytes, ("a loop was not followed",))

        assert doubted.verdict == ("uncertain" if one.verdict == "fits" else one.verdict)


def test_uncertain_says_why_and_the_others_need_not() -> None:
    """Each uncertain verdict has a reason in words."""
    assert [bool(one.why) for one in FITS] == [one.verdict == "uncertain" for one in FITS]
    assert [bool(one.depends_on) for one in FITS] == [one.verdict == "uncertain" for one in FITS]


def test_why_names_each_range_with_both_ends() -> None:
    """So that a person sees which of them decides."""
    said = fit(6, 8, on=LOOSE).why

    assert said == (
        "the allocator may reserve between 6.00 and 8.00 GiB, the CUDA context takes between 1 and 2 GiB, "
        "such a card has between 9.00 and 11.00 GiB"
    )


def test_why_is_silent_about_what_is_known() -> None:
    """Of a card that is known to the byte, only the allocator is a range."""
    assert fit(8, 9.5).depends_on == ("allocator",)


def test_why_has_the_reasons_of_the_estimate() -> None:
    """Alone where the ranges would do, beside them where they do not."""
    reasons = ("a kernel of its own was not followed",)

    assert Fit(CARD, (GIB, GIB), reasons=reasons).why == reasons[0]
    assert Fit(CARD, (8 * GIB, 10 * GIB), reasons=reasons).why.endswith(f"10.00 GiB, {reasons[0]}")


def test_a_run_that_ran_out_is_not_promised() -> None:
    """A Qwen2.5-7B in nf4, 2 × 1,024 tokens, on a T4 of 14.56 GiB: predicted 14,057 to 14,631 MiB, and it ran out."""
    assert Fit(card("T4"), (14_057 * MIB, 14_631 * MIB)).verdict == "uncertain"


@pytest.mark.parametrize("one", cards(), ids=lambda one: one.name)
def test_what_can_be_used_fits_and_one_byte_more_is_uncertain(one: Card) -> None:
    """The largest micro-batch and the verdict go by the same limit."""
    usable = one.usable_bytes()

    assert [Fit(one, (usable, usable + more)).verdict for more in (0, 1)] == ["fits", "uncertain"]


def test_other_processes_take_their_part() -> None:
    """What fits an empty card need not fit beside others."""
    assert fit(5, 6).verdict == "fits"
    assert fit(5, 6, others=5).verdict == "does not fit"


def test_the_device_range_has_the_context() -> None:
    """As nvidia-smi would show the process: least with least, most with most."""
    assert fit(5, 6).device_range == (6 * GIB, 7 * GIB)
    assert fit(5, 6, on=LOOSE).device_range == (6 * GIB, 8 * GIB)


def test_a_fit_reads_as_a_sentence() -> None:
    """Card, total, verdict, what is left or missing, and why where that is open."""
    assert str(fit(5, 6)) == "ten (10 GiB): fits, at least 3 GiB left."
    assert str(fit(11, 12)) == "ten (10 GiB): does not fit, at least 2 GiB missing."
    assert str(fit(8, 9.5)) == (
        "ten (10 GiB): uncertain, up to 512 MiB missing. Why: the allocator may reserve between 8.00 and 9.50 GiB."
    )


def test_nothing_is_promised_where_a_reason_speaks_against_it() -> None:
    """What is left is not called the least."""
    assert "at least" not in str(Fit(CARD, (GIB, GIB), reasons=("a loop was not followed",)))


def test_the_largest_total_is_shown() -> None:
    """As people know their card."""
    assert str(fit(1, 2, on=LOOSE)).startswith("between (11 GiB): fits")


def test_a_card_can_be_named() -> None:
    """By name or size."""
    assert fit_on((GIB, GIB), "T4").card.name == "T4"
    assert fit_on((GIB, GIB), "24GiB").card.total_bytes == 24 * GIB


def test_an_unknown_card_is_refused() -> None:
    """As everywhere."""
    with pytest.raises(UnknownNameError):
        fit_on((GIB, GIB), "T5")


def test_reasons_reach_every_card() -> None:
    """Of one card, and of many."""
    assert fit_on((GIB, GIB), CARD, reasons=("a",)).verdict == "uncertain"
    assert {one.verdict for one in fits_on((GIB, GIB), reasons=("a",))} == {"uncertain"}
    assert {row[2] for row in fits_table((GIB, GIB), reasons=("a",)).rows} == {"uncertain"}


def test_the_table_has_every_card() -> None:
    """Unless some are named."""
    assert [row[0] for row in fits_table((GIB, GIB)).rows] == [known.name for known in cards()]
    assert [row[0] for row in fits_table((GIB, GIB), ["H200", CARD]).rows] == ["H200", "ten"]


def test_the_table_says_what_is_left_or_missing() -> None:
    """In GiB, with the verdict."""
    rows = [fits_table((least * GIB, most * GIB), [CARD]).rows[0] for least, most in ((5, 6), (11, 12))]

    assert rows == [
        ("ten", "10 GiB", "fits", "at least 3 GiB left"),
        ("ten", "10 GiB", "does not fit", "at least 2 GiB missing"),
    ]


def test_the_table_says_what_an_uncertain_verdict_depends_on() -> None:
    """In a column that is there where it is needed."""
    table = table_of_fits([fit(6, 8, on=LOOSE), fit(1, 2)])

    assert [row[-1] for row in table.rows] == ["allocator, context, card", ""]
    assert len(table.heads) == len(fits_table((GIB, GIB), [CARD]).heads) + 1


def test_the_larger_card_is_never_worse() -> None:
    """Down the sizes, once it fits it fits on, and none is skipped."""
    verdicts = [rank(Fit(card(f"{size}GiB"), (20 * GIB, 22 * GIB))) for size in range(18, 27)]

    assert verdicts == sorted(verdicts)
    assert set(verdicts) == {0, 1, 2}


def test_the_table_is_called_an_estimate() -> None:
    """A predicted number says so."""
    assert "estimate" in fits_table((GIB, GIB)).title


def luminance(colour: str) -> float:
    """Relative luminance of a colour, WCAG 2.2."""
    parts = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("ground", ["#ffffff", "#000000", "#0d1117", "#111111"])
def test_each_verdict_has_a_colour_that_is_seen_on_light_and_dark(ground: str) -> None:
    """WCAG 2.2, 1.4.11: a contrast of 3 for what is not text; the word says the same without it."""
    for colour in COLOURS.values():
        darker, lighter = sorted((luminance(colour), luminance(ground)))
        assert (lighter + 0.05) / (darker + 0.05) >= 3


def test_the_html_has_the_colour_of_each_verdict() -> None:
    """One bar a row, beside the word."""
    html = table_of_fits([fit(5, 6), fit(8, 9.5), fit(11, 12)]).html()
    places = [html.index(f"solid {COLOURS[verdict]}") for verdict in ("fits", "uncertain", "does not fit")]

    assert all(before < after for before, after in pairwise(places))
    assert html.count("border-left") == 3
