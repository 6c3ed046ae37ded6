import re
import sys
import xml.etree.ElementTree as ET
from dataclasses import replace

import numpy as np
import pytest

from ntkjax.reports.fidelity.plots import (
    _spread,
    cosine_figure,
    cost_figure,
    ranking_figure,
    scores_figure,
)


def words(svg):
    root = ET.fromstring(svg.replace("xlink:", ""))
    return ["".join(text.itertext()) for text in root.iter("text")]


def test_scores_have_one_mark_per_candidate_and_the_line(result, arrays):
    means = arrays["summed"].mean(axis=0), arrays["exact"].mean(axis=0)
    svg = scores_figure("summed", *means, 0.01)
    assert svg.count("fill-opacity: 0.7") >= len(means[0])
    assert {"summed", "exact", "approximate"} <= set(words(svg))
    flat = scores_figure("summed", *means, 0.0)
    assert svg.count("#e08a00") == 1
    assert "#e08a00" not in flat


def test_many_points_become_a_picture():
    scores = np.random.default_rng(0).normal(size=2000)
    svg = scores_figure("summed", scores, scores, 1.0)
    assert "data:image/png" in svg
    assert len(svg) < 60_000


def test_names_are_no_formulas_and_are_escaped():
    scores = np.arange(5.0)
    svg = scores_figure(r"$\frac{a}$ <script>", scores, scores, 1.0)
    assert r"$\frac{a}$ <script>" in words(svg)
    assert "<script" not in svg


def test_cosines_show_the_mean(result):
    cosines = result.cosines
    svg = cosine_figure(cosines)
    assert f"mean {cosines.signed.mean.value:.3f}" in words(svg)
    assert svg.count("#3a8fce") >= 41


def test_cost_names_every_approximation_once(result):
    labels = words(cost_figure(result))
    for kernel in result.kernels[1:] + result.sketches:
        assert labels.count(kernel.name) == 1
    assert "exact" not in labels


def test_cost_leaves_out_zero_errors(result):
    exact, summed, *others = result.kernels
    right = replace(summed.cross_terms, relative_error=0.0)
    kernels = (exact, replace(summed, cross_terms=right), *others)
    assert "summed" not in words(cost_figure(replace(result, kernels=kernels)))


def test_ranking_lists_all_rows(result):
    labels = words(ranking_figure(result))
    rows = (*result.kernels[1:], *result.sketches, result.stability)
    names = [row.name for row in rows]
    assert [word for word in labels if word in names] == names


@pytest.mark.parametrize("figure", [cost_figure, ranking_figure])
def test_figures_of_one_kernel(result, figure):
    two = result.kernels[:2]
    result = replace(result, kernels=two, sketches=(), stability=None)
    assert "summed" in words(figure(result))


def test_labels_keep_their_distance():
    places = np.array([0.0, 1.0, 2.0, 50.0])
    found = _spread(places, 10.0)
    assert np.diff(found).min() >= 10 - 1e-9
    np.testing.assert_allclose(found, [-9, 1, 11, 50])


def test_bytes_are_the_same_in_a_second_drawing(result):
    assert cost_figure(result) == cost_figure(result)
    assert not re.search(r"<dc:date|20\d\d-\d\d", cost_figure(result))


def test_pyplot_is_not_needed(result, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)  # an import fails
    assert cost_figure(result)
