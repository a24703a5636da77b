"""Two answers for each card at hand: empty, and beside the others."""

from __future__ import annotations

import os

from bigmodel_lab.api._fits_here import fits_at_hand
from bigmodel_lab.samplers import Card, CardProcess, CardTable

GIB = 2**30
NEED = (9 * GIB, 10 * GIB)


def table(*cards: Card) -> CardTable:
    """The cards of a machine."""
    return CardTable(cards)


def t4(used: int | None, *processes: CardProcess) -> Card:
    """A T4 with so much in use."""
    return Card(0, "GPU-aa", "NVIDIA T4", used, None, 15 * GIB, processes=processes)


def test_an_empty_card_has_room_twice():
    """Nobody is there: both answers are the same."""
    (here,) = fits_at_hand(NEED, table(t4(0)))
    assert here.empty.verdict == "fits"
    assert here.now is not None
    assert here.now.free_bytes == here.empty.free_bytes


def test_others_take_room_now():
    """Another program holds 8 GiB: it fits the empty card, not the card as it is."""
    (here,) = fits_at_hand(NEED, table(t4(8 * GIB, CardProcess(1, 8 * GIB))))
    assert here.now is not None
    assert (here.empty.verdict, here.now.verdict) == ("fits", "does not fit")


def test_what_this_process_holds_is_not_held_by_others():
    """One's own memory is there to be used again."""
    (here,) = fits_at_hand(NEED, table(t4(8 * GIB, CardProcess(os.getpid(), 8 * GIB))))
    assert here.now is not None
    assert here.now.others_bytes == 0


def test_reasons_reach_both_answers():
    """What the estimate could not follow makes neither of them sure."""
    (here,) = fits_at_hand(NEED, table(t4(0)), ("a loop was not followed",))
    assert here.now is not None
    assert {here.empty.verdict, here.now.verdict} == {"uncertain"}


def test_unknown_use_gives_no_answer_for_now():
    """A driver that does not tell what is in use is unknown, not empty."""
    (here,) = fits_at_hand(NEED, table(t4(None)))
    assert here.now is None
    assert "unknown" in str(here)


def test_an_unknown_card_counts_with_the_memory_that_its_driver_tells():
    """A card that came out after this library fits by its size, less what the driver may keep of it."""
    (here,) = fits_at_hand(NEED, table(Card(1, "GPU-bb", "NVIDIA Brand New 9", 0, None, 24 * GIB)))
    least, most = here.empty.card.total_range
    assert 23 * GIB < least < most == 24 * GIB
    assert here.empty.card.name == "NVIDIA Brand New 9"


def test_an_unknown_card_without_a_size_is_left_out():
    """Neither name nor size: nothing can be said about it."""
    assert fits_at_hand(NEED, table(Card(1, "GPU-bb", "NVIDIA Brand New 9"))) == ()


def test_the_sentence_names_the_card_and_both_answers():
    """One line says which card, and how it is empty and now."""
    (here,) = fits_at_hand(NEED, table(t4(8 * GIB)))
    assert str(here).startswith("GPU 0 (NVIDIA T4) – empty: T4 (14.8 GiB): fits")
    assert "does not fit" in str(here)


def test_without_a_card_there_is_nothing():
    """An empty table gives no answers."""
    assert fits_at_hand(NEED, CardTable((), "No driver.")) == ()
