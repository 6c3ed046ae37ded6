import numpy as np

from ntkjax.kernels.deflated import deflated
from ntkjax.kernels.random_signs import random_signs
from ntkjax.kernels.readout import read_readout
from tests.kernels.problem import Problem, cached_problem


def _form(kernel):
    """The matrix M of the quadratic form k = tr(M B), B the backbone's kernel."""
    return (kernel.probes * kernel.weights) @ kernel.probes.T


def test_unbiased_and_less_noisy_than_signs_alone():
    # A kernel is tr(M B): E M = W Wᵀ is what unbiased means, for every B at once.
    problem = Problem()
    name = "lm_head.weight"
    problem.model.frozen[name] = problem.model.frozen[name] + 2.0  # a shared direction
    readout = read_readout(problem.model)
    truth = readout.matrix @ readout.matrix.T
    draws = 400
    forms = np.stack([_form(deflated(readout, 2, 3, seed)) for seed in range(draws)])
    standard_error = forms.std(axis=0, ddof=1) / np.sqrt(draws)
    z = np.abs(forms.mean(axis=0) - truth) / standard_error
    assert z.max() < 4.5  # 144 entries
    signs = np.stack([_form(random_signs(readout, 5, seed)) for seed in range(100)])
    error = lambda forms: np.linalg.norm(forms - truth, axis=(1, 2)).mean()
    assert error(forms) < 0.5 * error(signs)


def test_random_part_is_orthogonal_to_the_top_eigenvectors():
    readout = read_readout(cached_problem().model)
    kernel = deflated(readout, 3, 4, seed=0)
    top = readout.eigenpairs[1][:, :3]
    assert np.abs(top.T @ kernel.probes[:, 3:]).max() < 1e-10
    assert kernel.name == "deflated_3_4"
