import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest

from ntkjax.reports.demo.findings import accuracy_text
from ntkjax.reports.demo.plots import accuracy_figure, shares_figure
from ntkjax.reports.svg import BLUE, ORANGE
from tests.reports.demo.run import demo_run, interval


def words(svg):
    root = ET.fromstring(svg.replace("xlink:", ""))
    return ["".join(text.itertext()) for text in root.iter("text")]


def figure_of(selected):
    """Accuracies, where the chosen examples have these."""
    accuracy = demo_run().accuracy | {"selected + domain": interval(selected)}
    return accuracy_figure(demo_run(accuracy=accuracy))


@pytest.mark.parametrize("outcome", ["wins", "ties", "loses"])
def test_accuracy_has_a_row_for_each_arm_and_the_model_as_it_is(outcome):
    result = demo_run(outcome)
    svg = accuracy_figure(result)
    found = words(svg)
    assert found[found.index("as it is") :][:4] == ["as it is", *result.accuracy]
    assert "guessing 25%" in found
    for name, arm in result.accuracy.items():
        assert f"{name} {accuracy_text(arm)}" in svg
    assert "without fine-tuning 24.5%" in svg


def test_accuracy_has_a_dot_for_each_seed():
    few, many = accuracy_figure(demo_run()), figure_of([0.5, 0.55, 0.6, 0.65, 0.7])
    # Only the dots of seeds are see-through.
    assert few.count("fill-opacity: 0.6") + 2 == many.count("fill-opacity: 0.6")
    assert ORANGE in few
    assert BLUE in few


def test_an_interval_beyond_the_possible_is_cut():
    svg = figure_of([0.8, 0.99, 0.9])
    assert "120%" not in words(svg)
    assert "[66.1, 100.0]" in svg


def test_shares_have_their_numbers_at_the_bars():
    result = demo_run()
    found = words(shares_figure(result))
    for text in ("kernel", "vote alone", "random", "71.4%", "60.4%", "16.0%"):
        assert text in found
    assert "in the pool 16.3%" in shares_figure(result)


def test_no_needed_example_at_all_still_draws():
    shares = replace(demo_run().shares, kernel=0.0, vote=0.0, random=0.0)
    assert words(shares_figure(demo_run(shares=shares))).count("0%") >= 3


def test_bytes_are_the_same_in_a_second_drawing():
    assert accuracy_figure(demo_run()) == accuracy_figure(demo_run())
    assert shares_figure(demo_run()) == shares_figure(demo_run())
