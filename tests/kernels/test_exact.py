import numpy as np
import pytest

from ntkjax.kernels.exact import centered, chosen_tokens, exact, full_vocabulary
from ntkjax.kernels.readout import read_readout
from ntkjax.kernels.summed import summed
from ntkjax.models.lora import LoraSettings
from tests.kernels.problem import cached_problem
from tests.oracles import normwise


HEADS = {
    "untied": {},
    "tied": {"tie_embeddings": True},
    "rank-deficient": {"rank_deficient": True},
    "fewer tokens than dimensions": {"vocab_size": 10},
}


@pytest.mark.slow
@pytest.mark.parametrize("changes", HEADS.values(), ids=HEADS)
@pytest.mark.parametrize("pooling", ["all", "response", "last"])
def test_head_and_full_vocabulary_equal_the_dense_oracle(changes, pooling):
    problem = cached_problem(pooling=pooling, **changes)
    jac_x, jac_y = problem.logit_jacobians()
    truth = np.einsum("nvp,mvp->nm", jac_x, jac_y)
    readout = read_readout(problem.model)
    for kernel in (exact(readout), full_vocabulary(readout)):
        # what the issue asks for: 1e-6 in float64, 1e-4 in float32, normwise
        assert normwise(problem.values(kernel, double=True), truth) < 1e-6
        assert normwise(problem.values(kernel), truth) < 1e-4


def test_a_rank_deficient_head_needs_fewer_probes():
    problem = cached_problem(rank_deficient=True)
    assert exact(read_readout(problem.model)).num_outputs == 5
    assert exact(read_readout(cached_problem().model)).num_outputs == 12


@pytest.mark.slow
def test_centered_is_the_trace_over_centered_logits():
    problem = cached_problem()
    jac_x, jac_y = problem.logit_jacobians()
    jac_x = jac_x - jac_x.mean(axis=1, keepdims=True)
    jac_y = jac_y - jac_y.mean(axis=1, keepdims=True)
    truth = np.einsum("nvp,mvp->nm", jac_x, jac_y)
    readout = read_readout(problem.model)
    by_difference = centered(readout)
    by_spectrum = exact(readout.centered)
    assert by_spectrum.name == "centered"
    assert normwise(problem.values(by_difference, double=True), truth) < 1e-6
    assert normwise(problem.values(by_spectrum, double=True), truth) < 1e-6
    assert normwise(problem.values(by_difference), truth) < 1e-4


def test_padded_rows_of_the_head_are_left_out():
    problem = cached_problem()
    jac_x, jac_y = problem.logit_jacobians()
    truth = np.einsum("nvp,mvp->nm", jac_x[:, :31], jac_y[:, :31])
    readout = read_readout(problem.model, vocab_size=31)
    assert normwise(problem.values(exact(readout), double=True), truth) < 1e-6
    truth = np.einsum("np,mp->nm", jac_x[:, :31].sum(1), jac_y[:, :31].sum(1))
    assert normwise(problem.values(summed(readout), double=True), truth) < 1e-6


def test_chosen_tokens():
    problem = cached_problem()
    jac_x, jac_y = problem.logit_jacobians()
    tokens = np.array([3, 17, 30])
    truth = np.einsum("nvp,mvp->nm", jac_x[:, tokens], jac_y[:, tokens])
    kernel = chosen_tokens(read_readout(problem.model), tokens)
    assert normwise(problem.values(kernel, double=True), truth) < 1e-6


@pytest.mark.parametrize("tokens", [[], [-1, 3], [40]])
def test_tokens_outside_the_vocabulary_are_refused(tokens):
    readout = read_readout(cached_problem().model)
    with pytest.raises(ValueError, match=r"token ids must be in 0 … 39"):
        chosen_tokens(readout, np.array(tokens, int))


@pytest.mark.slow
def test_a_trained_head_takes_the_full_logit_path():
    lora = LoraSettings(rank=2, targets=("q_proj", "lm_head"))
    problem = cached_problem(lora=lora)
    jac_x, jac_y = problem.logit_jacobians()
    truth = np.einsum("nvp,mvp->nm", jac_x, jac_y)
    kernel = exact(read_readout(problem.model))
    assert kernel.num_outputs == 40
    assert normwise(problem.values(kernel, double=True), truth) < 1e-6
    kernel = centered(read_readout(problem.model))
    jac_x = jac_x - jac_x.mean(axis=1, keepdims=True)
    truth = np.einsum("nvp,mvp->nm", jac_x, jac_y - jac_y.mean(axis=1, keepdims=True))
    assert normwise(problem.values(kernel, double=True), truth) < 1e-6
