import numpy as np
import pytest

from ntkjax.errors import InputError
from ntkjax.kernels.exact import exact
from ntkjax.kernels.readout import read_readout
from ntkjax.kernels.spectral import spectral
from ntkjax.models.lora import LoraSettings
from tests.kernels.problem import cached_problem
from tests.oracles import normwise


@pytest.mark.slow
@pytest.mark.parametrize("rank", [1, 4, 12])
def test_equals_the_trace_seen_through_the_best_rank_r_part(rank):
    problem = cached_problem()
    head = np.asarray(problem.model.head, np.float64)
    _, _, right = np.linalg.svd(head, full_matrices=False)
    # logits of the rank-r head: project the vocabulary on the top right vectors
    projector = right[:rank].T @ right[:rank]
    jac_x, jac_y = problem.logit_jacobians()
    truth = np.einsum("nvp,vw,mwp->nm", jac_x, projector, jac_y)
    kernel = spectral(read_readout(problem.model), rank)
    assert kernel.num_outputs == rank
    assert normwise(problem.values(kernel, double=True), truth) < 1e-6


def test_all_eigenpairs_are_the_exact_kernel():
    readout = read_readout(cached_problem().model)
    assert np.array_equal(spectral(readout, 12).probes, exact(readout).probes)


@pytest.mark.parametrize("rank", [0, 13])
def test_ranks_that_the_head_does_not_have_are_refused(rank):
    with pytest.raises(InputError, match="choose 1 to 12"):
        spectral(read_readout(cached_problem().model), rank)


def test_a_trained_head_is_refused_with_the_reason():
    lora = LoraSettings(rank=2, targets=("q_proj", "lm_head"))
    with pytest.raises(InputError, match="θ has a leaf in the head"):
        spectral(read_readout(cached_problem(lora=lora).model), 1)
