"""The run as one picture."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

import numpy as np
from fakes import FULL, FakeRun, full_run

from bigmodel_lab.runlog.base import Status
from bigmodel_lab.widgets import picture

_SVG = "{http://www.w3.org/2000/svg}"


def texts(source, **how):
    """Every text of the picture, after parsing it as XML."""
    return " | ".join(t for t in ET.fromstring(picture(source, **how)).itertext() if t)


def test_it_is_valid_xml_within_its_size():
    """A run of 200,000 steps with every chart is one document below 60 kB."""
    drawn = picture(full_run(200_000))

    assert ET.fromstring(drawn).tag == f"{_SVG}svg"
    assert len(drawn.encode()) <= 60_000


def test_it_says_what_it_shows():
    """Title, status, steps and device stand in the header; numbers carry their units."""
    shown = texts(full_run())

    for part in ("simple_cnn", "running", "step 2,000 / 2,000", "cuda:0 (H200)", "16 GiB", "Loss"):
        assert part in shown


def test_simulated_numbers_are_labelled():
    """A simulated run is called so on the picture, a measured one has no label."""
    assert "simulated" in texts(full_run(origin="simulated"))
    assert "simulated" not in texts(full_run())


def test_a_chart_without_values_gives_its_reason():
    """Unknown is one line with the reason, not an empty chart."""
    assert "GPU temperature: The driver does not report" in texts(full_run())


def test_names_cannot_break_out():
    """A name with markup is shown as text."""
    assert "<b>&" in texts(FakeRun(name="<b>&", status=Status.FINISHED))


def test_a_spike_survives():
    """One step of two million that is ten times higher reaches the top of its chart."""
    run = FakeRun()
    loss = np.ones(2_000_000)
    loss[777_777] = 10.0
    run.add("step", ("loss",), loss)

    assert 'class="r"' in picture(run)
    assert ">10<" in picture(run)


def test_every_value_lies_within_the_picture():
    """No path begins outside the document, and none contains NaN."""
    drawn = picture(full_run())
    starts = re.findall(r'd="M([\d.-]+) ([\d.-]+)', drawn)

    assert "nan" not in drawn
    assert all(0 <= float(x) <= 960 and 0 <= float(y) <= 900 for x, y in starts)


def test_the_first_tips_are_lines_of_text():
    """Three at most, each with its title and what it is expected to do."""
    run = full_run()
    for tip in ("bf16", "tf32", "fused", "fourth"):
        run.propose(tip, predicted=[f"{tip} halves it", "and more"])
    shown = texts(run)

    assert "• BF16 | bf16 halves it · and more" in shown
    assert "FUSED" in shown
    assert "FOURTH" not in shown


def test_a_picture_without_tips_says_nothing_of_them():
    """No heading without lines below."""
    assert "Tips" not in texts(full_run())


def test_a_waiting_step_is_told():
    """What ran out, and what is waited for, below the header."""
    run = full_run()
    run.happen("out_of_memory", 20, **FULL)

    assert "Out of GPU memory at step 4, backward pass | The step waits" in texts(run)


def test_a_long_tip_is_cut_at_the_edge():
    """A line never runs out of the picture."""
    run = full_run()
    run.propose("bf16", predicted=["word " * 100])
    longest = max(ET.fromstring(picture(run)).iter(f"{_SVG}text"), key=lambda node: len(node.text or "")).text

    assert longest.endswith(" …")
    assert len(longest) < 160


def test_every_tip_lies_within_the_picture():
    """The picture grows with its lines."""
    run = full_run()
    for tip in ("bf16", "tf32", "fused"):
        run.propose(tip, predicted=["halves it"])
    drawn = ET.fromstring(picture(run))

    assert max(float(node.get("y")) for node in drawn.iter(f"{_SVG}text")) < float(drawn.get("height")) - 4


def test_a_note_is_shown():
    """Why a picture is shown stands below the header."""
    assert "because" in texts(full_run(), note="because")
