import itertools

import numpy as np
import pytest

from ntkjax.selection.dualsft.surrogate import Surrogate, masked, predicted_change
from tests.selection.dualsft.toy import toy, tree, vector


def shapley(players, value):
    """Marginal values averaged over all orders in which players can come."""
    total = np.zeros(players)
    orders = list(itertools.permutations(range(players)))
    for order in orders:
        for place, player in enumerate(order):
            total[player] += value(order[: place + 1]) - value(order[:place])
    return total / len(orders)


@pytest.mark.parametrize("kappa", [0.0, 0.7])
def test_columns_and_rows_share_the_same_total_out(kappa):
    problem = toy(kappa=kappa)
    surrogate, mean = problem.surrogate, tree(problem.mean)
    columns = vector(surrogate.column_scores(mean))
    rows = problem.gradients @ vector(surrogate.response(mean))
    whole = problem.value(range(5), range(4))
    np.testing.assert_allclose(columns.sum(), whole, rtol=1e-12)
    np.testing.assert_allclose(rows.mean(), whole, rtol=1e-12)
    np.testing.assert_allclose(surrogate.gains(mean)[1], whole, rtol=1e-12)


@pytest.mark.parametrize("seed", [0, 1])
def test_rows_are_shapley_values_of_examples(seed):
    problem = toy(seed=seed)

    def value(examples):
        # those who are not there add nothing to the mean over all
        sums = problem.gradients[list(examples)].sum(axis=0)
        return problem.value_of(sums / 5, range(4))

    response = problem.surrogate.response(tree(problem.mean))
    rows = problem.gradients @ vector(response)
    # float64 over 120 orders; the sheet asks for 1e-6
    np.testing.assert_allclose(rows / 5, shapley(5, value), atol=1e-12)


@pytest.mark.parametrize("seed", [0, 1])
def test_columns_are_shapley_values_of_parameters(seed):
    problem = toy(seed=seed)
    columns = vector(problem.surrogate.column_scores(tree(problem.mean)))
    expected = shapley(4, lambda parameters: problem.value(range(5), parameters))
    np.testing.assert_allclose(columns, expected, atol=1e-12)


def test_gains_of_a_mask():
    problem = toy()
    kept = np.array([True, False, True, True])
    mean = problem.gradients[[1, 3]].mean(axis=0)
    first, second = problem.surrogate.gains(tree(mean), tree(kept))
    parameters = np.flatnonzero(kept)
    assert first == pytest.approx(problem.value([1, 3], parameters, second=False))
    assert second == pytest.approx(problem.value([1, 3], parameters))


def test_without_curvature_there_is_no_second_order():
    problem = toy()
    v, mean = tree(problem.validation), tree(problem.mean)
    for flat in (Surrogate(v), Surrogate(v, tree(problem.curvature), 0.0)):
        assert flat.response(mean) is v
        assert flat.second_order(mean) is None
        first, second = flat.gains(mean)
        assert first == second == pytest.approx(problem.validation @ problem.mean)


def test_masked():
    values = tree(np.array([1.0, -2.0, np.inf, 4.0]))
    kept = tree(np.array([False, True, False, True]))
    assert vector(masked(values, kept)).tolist() == [0.0, -2.0, 0.0, 4.0]
    assert vector(masked(values, None)).tolist() == [1.0, -2.0, np.inf, 4.0]


@pytest.mark.parametrize("kept", [None, np.array([True, True, False, True])])
@pytest.mark.parametrize("step", [0.01, 3.0])
def test_the_predicted_change_is_exact_for_a_diagonal_quadratic(step, kept):
    problem = toy()
    theta, center = np.array([0.3, -1.0, 0.5, 2.0]), np.array([1.0, 0.2, -0.4, 0.0])

    def loss(theta):
        return 0.5 * np.sum(problem.curvature * (theta - center) ** 2)

    v = problem.curvature * (theta - center)
    mean = problem.gradients[[0, 2]].mean(axis=0)
    moves = 1.0 if kept is None else kept
    change = loss(theta - step * moves * mean) - loss(theta)
    mask = None if kept is None else tree(kept)
    predicted = predicted_change(
        tree(v), tree(problem.curvature), tree(mean), mask, step
    )
    assert predicted == pytest.approx(change, rel=1e-12)
    first = predicted_change(tree(v), None, tree(mean), mask, step)
    assert first == pytest.approx(-step * np.sum(moves * v * mean), rel=1e-12)
    assert abs(first - change) > 1e-6
