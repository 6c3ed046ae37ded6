import xml.etree.ElementTree as ET

import numpy as np
import pytest

from ntkjax.reports.selection.plots import (
    length_figure,
    loss_figure,
    scores_figure,
    votes_figure,
)
from ntkjax.reports.svg import BLUE, ORANGE
from ntkjax.selection.result import LengthSample, ScoresHistogram
from tests.reports.selection.run import selection_run


def words(svg):
    root = ET.fromstring(svg.replace("xlink:", ""))
    return ["".join(text.itertext()) for text in root.iter("text")]


def test_histograms_tell_their_totals():
    distributions = selection_run().distributions
    votes = votes_figure(distributions.votes)
    assert "votes: 1600 examples, 100 of them chosen" in votes
    scores = scores_figure(distributions.scores)
    assert "scores: 400 examples, 100 of them chosen" in scores
    for svg in (votes, scores):
        assert BLUE in svg
        assert ORANGE in svg
        assert "examples" in words(svg)


def test_one_bar_for_each_bin():
    scores = ScoresHistogram((0.0, 0.5, 1.0), (30, 20), (0, 20))
    svg = scores_figure(scores)
    assert svg.count(BLUE) == 2
    assert svg.count(ORANGE) == 2


def test_few_chosen_of_many_are_seen_on_a_logarithmic_axis():
    for chosen in ((0, 20), (0, 0)):
        scores = ScoresHistogram((0.0, 1.0, 2.0), (100_000, 20), chosen)
        assert "examples (logarithmic)" in words(scores_figure(scores))


RANGES = [
    (-0.5, 0.5),  # all scores are 0
    (0.0, 0.0),
    (1e30, 1e30),
    (1.0, 1.0 + 2.3e-16),
    (0.0, 5e-324),
    (1e-200, 2e-200),
    (-1e200, 1e200),
]


@pytest.mark.parametrize(("low", "high"), RANGES)
def test_scores_of_any_size(low, high):
    """Warnings are errors here, those of a division by zero among them."""
    scores = ScoresHistogram((low, high), (20,), (5,))
    svg = scores_figure(scores)
    assert "nan" not in svg
    assert "inf" not in svg
    sample = LengthSample((5, 5), (low, high), (True, False))
    svg = length_figure(sample)
    assert "nan" not in svg
    assert svg.count("fill-opacity: 0.6") == 2


def test_neighboring_ticks_are_told_apart():
    ends = 0.99981, 0.99986
    edges = tuple(np.linspace(*ends, 6).tolist())
    scores = ScoresHistogram(edges, (9,) * 5, (1,) * 5)
    labels = [word for word in words(scores_figure(scores)) if word.startswith("0.99")]
    assert len(labels) >= 3
    assert len(set(labels)) == len(labels)


def test_ticks_have_four_digits_and_a_minus_sign():
    scores = ScoresHistogram((-0.5, 0.0, 0.5), (9, 9), (1, 1))
    assert {"−0.25", "0.25"} <= set(words(scores_figure(scores)))


def test_length_has_one_mark_per_example():
    sample = LengthSample((5, 9, 30), (0.1, -0.2, 3e-7), (True,) * 3)
    svg = length_figure(sample)
    assert svg.count("fill-opacity: 0.6") == 3
    assert "3 examples" in svg
    assert {"tokens", "score"} <= set(words(svg))


def test_a_large_sample_becomes_a_picture():
    rng = np.random.default_rng(0)
    sample = LengthSample(
        tokens=tuple(rng.integers(1, 256, 2000).tolist()),
        score=tuple(rng.normal(size=2000).tolist()),
        selected=tuple((rng.random(2000) < 0.1).tolist()),
    )
    svg = length_figure(sample)
    assert "data:image/png" in svg
    assert len(svg) < 120_000


def test_loss():
    svg = loss_figure(selection_run().warmup.history)
    assert "30 points, from 3.9 to 2.04" in svg
    assert {"step", "loss"} <= set(words(svg))


def test_bytes_are_the_same_in_a_second_drawing():
    votes = selection_run().distributions.votes
    assert votes_figure(votes) == votes_figure(votes)
