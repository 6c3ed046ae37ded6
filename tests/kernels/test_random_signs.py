import numpy as np
import pytest

from ntkjax.errors import InputError
from ntkjax.kernels.random_signs import draw_signs, random_signs
from ntkjax.kernels.readout import read_readout
from tests.kernels.problem import cached_problem
from tests.oracles import normwise


def test_probes_of_the_head_are_signed_sums_of_logits():
    problem = cached_problem()
    jac_x, jac_y = problem.logit_jacobians()
    signs = draw_signs(40, 3, seed=5)
    at_x = np.einsum("nvp,vs->nsp", jac_x, signs)
    at_y = np.einsum("nvp,vs->nsp", jac_y, signs)
    truth = np.einsum("nsp,msp->nm", at_x, at_y) / 3
    kernel = random_signs(read_readout(problem.model), 3, seed=5)
    assert normwise(problem.values(kernel, double=True), truth) < 1e-6


def test_unbiased_with_the_stated_variance():
    problem = cached_problem()
    jac_x, jac_y = problem.logit_jacobians()
    block = jac_x[0] @ jac_y[0].T  # Θ(x, y), [V, V]
    truth = np.trace(block)
    symmetric = (block + block.T) / 2
    variance = 2 * (np.sum(symmetric**2) - np.sum(np.diag(block) ** 2))
    draws = 20_000
    signs = np.random.default_rng(0).integers(0, 2, (draws, 40)) * 2.0 - 1.0
    values = np.einsum("sv,vw,sw->s", signs, block, signs)
    assert abs(values.mean() - truth) < 4 * np.sqrt(variance / draws)
    assert values.var() == pytest.approx(variance, rel=0.1)
    # and the library's own draws are such signs
    own = draw_signs(40, 2_000, seed=0)
    assert set(np.unique(own)) == {-1.0, 1.0}
    values = np.einsum("vs,vw,ws->s", own, block, own)
    assert abs(values.mean() - truth) < 4 * np.sqrt(variance / 2_000)


def test_a_smaller_kernel_has_the_first_probes_of_a_larger_one():
    readout = read_readout(cached_problem().model)
    small, large = random_signs(readout, 2, 7), random_signs(readout, 5, 7)
    assert np.array_equal(small.probes, large.probes[:, :2])
    assert small.labels == large.labels[:2]
    assert not np.allclose(random_signs(readout, 2, 8).probes, small.probes)


def test_no_probes_are_refused():
    with pytest.raises(InputError, match="needs a probe"):
        random_signs(read_readout(cached_problem().model), 0, 1)
