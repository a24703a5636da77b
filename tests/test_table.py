"""One table as aligned text and as HTML."""

from __future__ import annotations

from bigmodel_lab._table import Table

TABLE = Table(("class", "support"), (("cat", "12"), ("kingfisher", "7")), right={1}, title="Animals")


def test_columns_stand_below_each_other():
    """Every line of the text has its second column at the same place."""
    title, *lines = TABLE.text().splitlines()

    assert title == "Animals"
    assert {len(line) for line in lines} == {len("kingfisher  support")}


def test_numbers_stand_to_the_right():
    """A column named in ``right`` ends where its head ends."""
    assert TABLE.text().splitlines()[2].endswith("     12")


def test_wide_letters_take_two_columns():
    """A Chinese class name of one letter is as wide as two Latin letters."""
    lines = Table(("class", "n"), (("猫", "1"), ("cats", "2"))).text().splitlines()

    assert lines[1:] == ["猫     1", "cats   2"]


def test_a_bar_stands_before_its_cell_alone():
    """In a colour of its own, at the row and column that were named; the text of a terminal has none."""
    barred = Table(TABLE.heads, TABLE.rows, bars={(1, 0): "#bf8700"})

    assert barred.html().count("solid #bf8700") == 1
    assert 'solid #bf8700">kingfisher</td>' in barred.html()
    assert barred.text() == Table(TABLE.heads, TABLE.rows).text()


def test_html_escapes_what_people_wrote():
    """A class name with a tag in it is shown, not obeyed."""
    assert "&lt;b&gt;" in Table(("class",), (("<b>",),)).html()


def test_html_has_no_colours_of_its_own():
    """Letters take the page's colour, so that they read on white and on black."""
    html = TABLE.html()

    assert "color:inherit" in html
    assert "color:#" not in html
    assert "background:none" in html


def test_a_table_without_rows_shows_its_heads():
    """Nothing to list is no error."""
    assert Table(("class", "n"), ()).text() == "class  n"


def test_a_table_shows_itself():
    """As the last line of a cell it is a table, on a console aligned text."""
    assert TABLE._repr_html_() == TABLE.html()
    assert str(TABLE) == TABLE.text()
