import numpy as np
import pytest
from jax.tree_util import Partial

from ntkjax.devices.mesh import data_mesh
from ntkjax.errors import InputError
from ntkjax.fidelity.ranking import Ranking
from ntkjax.fidelity.study import KernelValues, against, kernel_values
from ntkjax.kernels.probe_kernel import ProbeKernel
from ntkjax.math.bootstrap import Estimate, bootstrap_rows
from tests.oracles import jacobians
from tests.problems import mlp


def half(vector):
    return vector[::2]


def kernels():
    """Three kernels on two shared channels; one takes something away."""
    first, second = np.eye(3)[:, :1], np.ones((3, 1))
    return [
        ProbeKernel("exact", np.eye(3), np.ones(3), (("e", 0), ("e", 1), ("e", 2))),
        ProbeKernel("summed", second, np.ones(1), (("sum",),)),
        ProbeKernel(
            "mixed",
            np.concatenate([first, second], axis=1),
            np.array([2.0, -0.25]),
            (("e", 0), ("sum",)),
        ),
    ]


@pytest.fixture(scope="module")
def studied():
    f, theta, draw = mlp()
    xs, ys = draw(3), draw(4)
    done = []
    found = kernel_values(
        Partial(f),
        theta,
        xs,
        ys,
        kernels(),
        {"half": Partial(half)},
        mesh=data_mesh(2),
        advance=done.append,
    )
    at_x, at_y = (jacobians(f, theta, z).astype(np.float64) for z in (xs, ys))
    return found, at_x, at_y, done


def test_values_are_weighted_sums_over_channels(studied):
    found, at_x, at_y, done = studied
    each = np.einsum("nsp,msp->snm", at_x, at_y)
    total = at_x.sum(axis=1) @ at_y.sum(axis=1).T
    own_total = np.sum(at_x.sum(axis=1) ** 2, axis=1)
    own = np.sum(at_x**2, axis=2)
    for name, values, diagonal, num_outputs in (
        ("exact", each.sum(axis=0), own.sum(axis=1), 3),
        ("summed", total, own_total, 1),
        ("mixed", 2 * each[0] - total / 4, 2 * own[:, 0] - own_total / 4, 2),
    ):
        # float32 sums, relative to the largest kernel since "mixed" cancels
        atol = 1e-5 * np.abs(total).max()
        np.testing.assert_allclose(found[name].values, values, rtol=0, atol=atol)
        np.testing.assert_allclose(found[name].diagonal, diagonal, rtol=0, atol=atol)
        assert found[name].num_outputs == num_outputs
    assert sum(done) == 4  # e_0, e_1, e_2 and the sum, each computed once


def test_only_summed_and_exact_are_sketched(studied):
    found, at_x, at_y, _ = studied
    assert list(found) == ["exact", "summed", "mixed", "exact·half", "summed·half"]
    short_x, short_y = at_x[..., ::2], at_y[..., ::2]
    expected = np.einsum("nsp,msp->nm", short_x, short_y)
    atol = 1e-5 * np.abs(expected).max()
    values = found["exact·half"].values
    np.testing.assert_allclose(values, expected, rtol=0, atol=atol)
    expected = np.einsum("nsp,nsp->n", short_x, short_x)
    atol = 1e-5 * np.abs(expected).max()
    diagonal = found["exact·half"].diagonal
    np.testing.assert_allclose(diagonal, expected, rtol=0, atol=atol)
    assert found["exact·half"].num_outputs == 3


def test_exact_against_itself(studied):
    exact = studied[0]["exact"]
    row = against(exact, exact, "exact", bootstrap_rows(3, 20, 0), 2)
    assert (row.name, row.num_outputs, row.cost) == ("exact", 3, 4.0)
    errors = row.cross_terms
    assert errors.cosine == errors.factor == 1
    assert errors.relative_error == errors.raw_pairs.q50 == 0
    same = Estimate(1.0, 1.0, 1.0)
    assert row.per_query == row.mean_score == Ranking(same, same, same)


def test_a_negative_kernel_orders_backwards(studied):
    exact = studied[0]["exact"]
    other = KernelValues(-2 * exact.values, -2 * exact.diagonal, 1)
    row = against(exact, other, "minus", bootstrap_rows(3, 20, 0), 2)
    assert row.cross_terms.factor == pytest.approx(-0.5)
    assert row.mean_score.spearman.value == pytest.approx(-1)
    assert row.cross_terms.raw_diagonal.q50 == pytest.approx(3)
    assert row.cost == 2


def test_top_beyond_the_candidates(studied):
    exact = studied[0]["exact"]
    with pytest.raises(InputError, match="top"):
        against(exact, exact, "exact", bootstrap_rows(3, 20, 0), 5)
