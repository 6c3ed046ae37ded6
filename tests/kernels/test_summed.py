import numpy as np
import pytest

from ntkjax.errors import InputError
from ntkjax.kernels.readout import read_readout
from ntkjax.kernels.summed import summed
from tests.kernels.problem import cached_problem
from tests.oracles import normwise


@pytest.mark.slow
@pytest.mark.parametrize("changes", [{}, {"tie_embeddings": True}])
def test_equals_the_gradient_of_the_summed_logits(changes):
    problem = cached_problem(**changes)
    jac_x, jac_y = problem.logit_jacobians()
    truth = np.einsum("np,mp->nm", jac_x.sum(axis=1), jac_y.sum(axis=1))
    kernel = summed(read_readout(problem.model))
    assert kernel.num_outputs == 1
    assert normwise(problem.values(kernel, double=True), truth) < 1e-6


def test_of_centered_logits_is_refused():
    with pytest.raises(InputError, match="gradient vanishes"):
        summed(read_readout(cached_problem().model).centered)
