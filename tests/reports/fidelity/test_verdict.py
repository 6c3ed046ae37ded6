from dataclasses import replace

import pytest

from ntkjax.reports.fidelity.verdict import verdict
from tests.reports.fidelity.synthetic import kernel


EXACT = kernel("exact", 65, (1.0, 1.0, 1.0), 0.0, 0.0, 1.0)
SUMMED = kernel("summed", 2, (0.95, 0.91, 0.97), 143.2, 0.31, 0.7)


@pytest.fixture
def sentences(result):
    """Function kernels ↦ the verdict on them."""
    result = replace(result, top=10, chance_overlap=0.125)
    return lambda *others: verdict(replace(result, kernels=(EXACT, *others)))


def test_size_and_order(sentences):
    size, order, _ = sentences(SUMMED)
    assert "143 times" in size
    assert "0.31" in size
    assert "survives: Spearman 0.95 [0.91, 0.97]" in order
    assert "7 of the top 10" in order
    assert "1.25" in order


@pytest.mark.parametrize(
    ("spearman", "outcome"),
    [
        ((0.95, 0.90, 0.97), " survives:"),
        ((0.95, 0.89, 0.97), " survives in part:"),
        ((0.3, 0.1, 0.5), " survives in part:"),
        ((0.3, 0.1, 0.49), " is lost:"),
    ],
)
def test_limits(sentences, spearman, outcome):
    assert outcome in sentences(kernel("summed", 2, spearman))[1]


def test_overlapping_intervals_are_admitted(sentences):
    best = kernel("spectral_1", 2, (0.98, 0.96, 0.99))
    last = sentences(SUMMED, best)[-1]
    assert "spectral_1 orders" in last
    assert "overlaps that of summed" in last
    assert "does not settle" in last


def test_long_lists_of_rivals_are_cut(sentences):
    names = [kernel(f"k{i}", 2, (0.9, 0.8, 0.99)) for i in range(5)]
    last = sentences(kernel("best", 2, (0.98, 0.96, 0.99)), *names)[-1]
    assert "those of k0, k1 and 3 others" in last
    last = sentences(kernel("best", 2, (0.98, 0.96, 0.99)), *names[:3])[-1]
    assert "those of k0, k1 and k2" in last


def test_a_clear_winner(sentences):
    last = sentences(SUMMED, kernel("spectral_4", 5, (0.99, 0.985, 0.993)))[-1]
    assert "spectral_4 orders" in last
    assert "above those of the others" in last
    assert "5 forward passes against 65" in last


def test_equal_rankings_are_decided_by_the_error(sentences):
    errors = replace(SUMMED.cross_terms, relative_error=0.2)
    twin = replace(SUMMED, name="twin", cross_terms=errors)
    assert "twin orders" in sentences(SUMMED, twin)[-1]


def test_dear_kernels_are_not_recommended(sentences):
    dear = kernel("centered", 65, (0.999, 0.998, 0.9995))
    assert "summed orders" in sentences(SUMMED, dear)[-1]
    assert len(sentences(dear)) == 2


def test_without_summed_the_cheapest_is_described(sentences):
    cheap = kernel("random_1", 2, (0.9, 0.8, 0.95))
    found = sentences(kernel("spectral_4", 5, (0.99, 0.985, 0.993)), cheap)
    assert found[0].startswith("The random_1 kernel")


def test_exact_alone(sentences):
    assert len(sentences()) == 1
