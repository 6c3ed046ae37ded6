from dataclasses import asdict

import numpy as np
import pytest

from ntkjax.fidelity.cross_terms import cross_terms as measured
from ntkjax.math.bootstrap import bootstrap_rows


def cross_terms(*arrays):
    return measured(*arrays, bootstrap_rows(len(arrays[0]), 50, seed=0))


def draw(seed=0, num=5, width=7):
    rng = np.random.default_rng(seed)
    exact = rng.normal(size=(num, width)) + 3
    approx = 2 * exact + rng.normal(size=(num, width))
    return approx, exact, rng.uniform(1, 2, num), rng.uniform(1, 2, num)


def test_loop_oracle():
    approx, exact, approx_diagonal, exact_diagonal = draw()
    found = cross_terms(approx, exact, approx_diagonal, exact_diagonal)
    inner = square = exact_square = 0.0
    for a, e in zip(approx.ravel(), exact.ravel(), strict=True):
        inner, square, exact_square = (
            inner + a * e,
            square + a * a,
            exact_square + e * e,
        )
    factor = inner / square
    pairs, scaled, raw_error, error = [], [], 0.0, 0.0
    for a, e in zip(approx.ravel(), exact.ravel(), strict=True):
        pairs.append(abs(a - e) / abs(e))
        scaled.append(abs(factor * a - e) / abs(e))
        raw_error += (a - e) ** 2
        error += (factor * a - e) ** 2
    assert found.factor == pytest.approx(factor)
    assert found.raw_pairs.q50 == pytest.approx(np.median(pairs))
    assert found.scaled_pairs.q95 == pytest.approx(np.quantile(scaled, 0.95))
    assert found.raw_relative_error == pytest.approx((raw_error / exact_square) ** 0.5)
    assert found.relative_error == pytest.approx((error / exact_square) ** 0.5)
    assert found.cosine == pytest.approx(inner / (square * exact_square) ** 0.5)
    ratios = np.abs(factor * approx_diagonal - exact_diagonal) / exact_diagonal
    assert found.scaled_diagonal.q25 == pytest.approx(np.quantile(ratios, 0.25))


def test_the_factor_is_the_best():
    approx, exact, *diagonals = draw(1)
    found = cross_terms(approx, exact, *diagonals)
    for a in found.factor * np.array([0.9, 0.99, 1.01, 1.1]):
        other = np.linalg.norm(a * approx - exact) / np.linalg.norm(exact)
        assert other > found.relative_error
    # Pythagoras: what the factor cannot explain is the sine of the angle.
    assert found.relative_error**2 + found.cosine**2 == pytest.approx(1)


def test_exact_against_itself():
    _, exact, _, diagonal = draw(2)
    found = cross_terms(exact, exact, diagonal, diagonal)
    assert set(asdict(found.raw_pairs).values()) == {0.0}
    assert set(asdict(found.scaled_diagonal).values()) == {0.0}
    assert (found.factor, found.cosine, found.relative_error) == (1, 1, 0)


def test_a_multiple_changes_only_the_raw_numbers():
    approx, exact, approx_diagonal, exact_diagonal = draw(3)
    once = cross_terms(approx, exact, approx_diagonal, exact_diagonal)
    thrice = cross_terms(3 * approx, exact, 3 * approx_diagonal, exact_diagonal)
    assert thrice.factor == pytest.approx(once.factor / 3)
    assert thrice.relative_error == pytest.approx(once.relative_error)
    assert thrice.cosine == pytest.approx(once.cosine)
    assert asdict(thrice.scaled_pairs) == pytest.approx(asdict(once.scaled_pairs))
    assert asdict(thrice.scaled_diagonal) == pytest.approx(asdict(once.scaled_diagonal))
    assert thrice.raw_relative_error > 2 * once.raw_relative_error
    assert thrice.raw_pairs.q50 > 2 * once.raw_pairs.q50


def test_known_multiple():
    _, exact, _, diagonal = draw(4)
    found = cross_terms(143 * exact, exact, 143 * diagonal, diagonal)
    assert found.raw_pairs.q50 == pytest.approx(142)
    assert found.raw_diagonal.q95 == pytest.approx(142)
    assert found.relative_error == pytest.approx(0, abs=1e-12)


def test_exact_zeros_are_left_out_of_the_ratios_and_counted():
    approx, exact, approx_diagonal, exact_diagonal = draw(5)
    exact[1, :2] = 0
    exact_diagonal[1] = 0
    found = cross_terms(approx, exact, approx_diagonal, exact_diagonal)
    assert (found.num_zero_pairs, found.num_zero_diagonal) == (2, 1)
    kept = exact != 0
    ratios = np.abs(approx - exact)[kept] / np.abs(exact[kept])
    assert found.raw_pairs.q95 == pytest.approx(np.quantile(ratios, 0.95))
    # The norms use all pairs.
    error = np.linalg.norm(approx - exact) / np.linalg.norm(exact)
    assert found.raw_relative_error == pytest.approx(error)


def test_zero_approximation():
    _, exact, _, diagonal = draw(6)
    found = cross_terms(0 * exact, exact, 0 * diagonal, diagonal)
    assert (found.factor, found.cosine) == (0, 0)
    assert (found.relative_error, found.raw_pairs.q50) == (1, 1)


def test_float32_is_summed_in_float64():
    approx, exact, *diagonals = (x.astype(np.float32) for x in draw(7))
    single = cross_terms(approx, exact, *diagonals)
    double = cross_terms(*(x.astype(np.float64) for x in (approx, exact, *diagonals)))
    assert single == double


@pytest.mark.parametrize("place", range(4))
def test_non_finite_arrays_are_named(place):
    names = ("approx", "exact", "approx_diagonal", "exact_diagonal")
    arrays = list(draw(8))
    arrays[place].ravel()[0] = np.nan
    with pytest.raises(ValueError, match=f"^{names[place]} has 1 non-finite"):
        cross_terms(*arrays)


def test_a_zero_exact_kernel_is_refused():
    approx, exact, approx_diagonal, exact_diagonal = draw(9)
    with pytest.raises(ValueError, match="zero everywhere"):
        cross_terms(approx, 0 * exact, approx_diagonal, exact_diagonal)
    with pytest.raises(ValueError, match="zero everywhere"):
        cross_terms(approx, exact, approx_diagonal, 0 * exact_diagonal)


def test_intervals_are_those_of_the_resampled_rows():
    arrays = draw()
    rows = bootstrap_rows(5, 200, seed=3)
    found = measured(*arrays, rows).intervals
    values = []
    for row in rows:
        approx, exact = arrays[0][row], arrays[1][row]
        factor = np.vdot(approx, exact) / np.vdot(approx, approx)
        values.append(np.linalg.norm(factor * approx - exact) / np.linalg.norm(exact))
    low, high = np.quantile(values, [0.025, 0.975])
    np.testing.assert_allclose(
        (found.relative_error.low, found.relative_error.high), (low, high), rtol=1e-12
    )
    medians = [
        np.median(np.abs(arrays[0][row] - arrays[1][row]) / np.abs(arrays[1][row]))
        for row in rows
    ]
    np.testing.assert_allclose(
        (found.raw_pairs.low, found.raw_pairs.high),
        np.quantile(medians, [0.025, 0.975]),
        rtol=1e-12,
    )
    assert found.raw_pairs.value == measured(*arrays, rows).raw_pairs.q50


def test_resamples_without_an_exact_value_are_left_out():
    approx, exact, approx_diagonal, exact_diagonal = draw(num=2)
    exact[0], exact_diagonal[0] = 0, 0
    rows = np.array([[0, 0], [0, 1], [1, 1]])
    found = measured(approx, exact, approx_diagonal, exact_diagonal, rows)
    assert np.isfinite(found.intervals.relative_error.high)
