import numpy as np
import pytest

from benchmarks.law import (
    LawSizes,
    draw_rows,
    effective_rank,
    fit_slope,
    head_ratios,
    measure_law,
    mixed_head,
)


WIDTHS = (16, 32, 64, 128)


@pytest.mark.parametrize("slope", [-0.5, 0.0, 1.0])
def test_fit_recovers_a_known_slope(slope):
    rng = np.random.default_rng(0)
    noise = np.exp(0.1 * rng.normal(size=(20, len(WIDTHS))))
    ratios = 3 * np.array(WIDTHS) ** slope * noise
    found = fit_slope(WIDTHS, ratios, 200, seed=0)
    # The standard error of the slope is 0.1 / √20 / ‖log d − mean‖ = 0.014.
    assert abs(found.value - slope) < 0.05
    assert found.low < slope < found.high


def test_fit_is_exact_without_noise():
    ratios = 2 * np.array([WIDTHS, WIDTHS], float) ** -0.5
    found = fit_slope(WIDTHS, ratios, 10, seed=0)
    np.testing.assert_allclose([found.value, found.low, found.high], -0.5, atol=1e-12)


def test_head_ratios_against_loops():
    rng = np.random.default_rng(1)
    blocks, head = rng.normal(size=(2, 3, 4, 4)), rng.normal(size=(4, 5))
    ratios = head_ratios(blocks, head @ head.T, head.sum(axis=1))
    for x in range(2):
        for y in range(3):
            ntk = head.T @ blocks[x, y] @ head
            expected = abs(ntk.sum() - np.trace(ntk)) / abs(np.trace(ntk))
            np.testing.assert_allclose(ratios[x, y], expected)


def test_mixed_heads_against_the_rows_themselves():
    rng = np.random.default_rng(3)
    rows, shared = draw_rows(4, 7, rng), rng.normal(size=4)
    head = np.sqrt(1 - 0.3**2) * rows + 0.3 * shared[:, None]
    square, total = mixed_head(rows @ rows.T, rows.sum(axis=1), shared, 7, 0.3)
    np.testing.assert_allclose(square, head @ head.T)
    np.testing.assert_allclose(total, head.sum(axis=1))


def test_effective_rank_of_known_matrices():
    blocks = np.stack([np.eye(4), np.diag([2.0, 0, 0, 0])])
    np.testing.assert_allclose(effective_rank(blocks), [4, 1])


def test_rows_have_unit_expected_norm():
    rows = draw_rows(16, 4000, np.random.default_rng(2))
    # ‖z‖² has standard deviation √(2/16); the mean of 4000, 0.006.
    assert abs(np.sum(rows**2, axis=0).mean() - 1) < 0.025


@pytest.mark.slow
def test_isotropic_bodies_follow_the_law_and_a_shared_direction_breaks_it():
    sizes = LawSizes(
        widths=(16, 64),
        vocabularies=(256,),
        strengths=(0.0, 1.0),
        seeds=1,
        heads=40,
        texts=2,
        length=4,
        rank=1,
        tokens=8,
        resamples=10,
    )
    cells = {
        (c["body"], c["width"], c["strength"]): c for c in measure_law(sizes)["cells"]
    }
    for width in (16, 64):
        free = cells["isotropic", width, 0.0]
        # √(2/π) √(2/d) with a relative standard error of 0.76 / √40 = 12%.
        assert abs(free["ratio"] / (1.128 * width**-0.5) - 1) < 0.4
        # All rows equal: Σ over V² entries against V of them.
        equal = cells["isotropic", width, 1.0]
        np.testing.assert_allclose(equal["ratio"], 255)
        np.testing.assert_allclose(equal["signed_cosine"], 1)
