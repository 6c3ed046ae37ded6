import dataclasses

import numpy as np
import pytest

from ntkjax.data.batches import make_batch
from ntkjax.devices.mesh import data_mesh
from ntkjax.errors import InputError
from ntkjax.kernels.readout import read_readout
from ntkjax.kernels.table import named_kernel
from ntkjax.math.seeds import stream
from ntkjax.models.language_model import split_model
from ntkjax.outputs.pooled import PooledHidden, PooledLogits
from ntkjax.passes.run_pass import Batching
from ntkjax.selection.methods import ntk
from ntkjax.selection.options import MethodOptions
from ntkjax.selection.problem import Request
from tests.oracles import jacobians, normwise
from tests.selection.small_problem import LONGEST, MODEL, small_problem


def problem_with(kernel, **changes):
    problem = small_problem(options=MethodOptions(kernel=kernel))
    return dataclasses.replace(problem, **changes)


def explicit_scores(problem, base=None, pooling="all"):
    """The mean over the target of Σ_j w_j ⟨∇p_jᵀh̄(d), ∇p_jᵀh̄(x)⟩."""
    readout = read_readout(problem.model, problem.vocab_size)
    seed = stream(problem.seed, "probes")
    kernel = named_kernel(problem.options.kernel, readout, seed)
    f, theta = base or PooledHidden(problem.model), problem.snapshot.theta
    candidates = problem.candidates.read(np.arange(len(problem.candidates)))
    at_target, at_candidates = (
        np.einsum(
            "dj,ndp->njp",
            kernel.probes,
            jacobians(f, theta, make_batch(examples, pooling, LONGEST)),
        )
        for examples in (problem.target_tokens, candidates)
    )
    mean = at_target.mean(axis=0)
    return np.einsum("j,jp,njp->n", kernel.weights, mean, at_candidates)


@pytest.mark.slow
@pytest.mark.parametrize("kernel", ["summed", "random_2", "centered_spectral_2"])
def test_equals_explicit_kernel(kernel):
    problem = problem_with(kernel)
    found = ntk.score(problem)
    # float32 derivatives on both sides: 1e-6; ten times more where channels cancel
    assert normwise(found.scores, explicit_scores(problem)) < 1e-5
    assert found.facts == {
        "kernel": kernel,
        "probes": 1 if kernel == "summed" else 2,
        "readout": "linear head",
        "padded_rows": 0,
    }


def test_rows_of_the_head_that_are_no_tokens_are_left_out():
    problem = problem_with("summed", vocab_size=33)
    scored = ntk.score(problem)
    assert scored.facts["padded_rows"] == 40 - 33
    found = scored.scores
    assert normwise(found, explicit_scores(problem)) < 1e-5
    assert normwise(found, ntk.score(problem_with("summed")).scores) > 1e-2


@pytest.mark.slow
@pytest.mark.parametrize("kernel", ["summed", "random_2"])
def test_a_soft_capped_model_is_scored_by_its_logits(kernel):
    config = dataclasses.replace(MODEL.config, final_softcap=1.5)
    graphdef, *_ = split_model(config, MODEL.lora)
    capped = dataclasses.replace(MODEL, config=config, graphdef=graphdef)
    problem = problem_with(kernel, model=capped)
    scored = ntk.score(problem)
    assert scored.facts["readout"] == "the model soft-caps its logits"
    expected = explicit_scores(problem, PooledLogits(capped, problem.vocab_size))
    assert normwise(scored.scores, expected) < 1e-5
    assert normwise(scored.scores, ntk.score(problem_with(kernel)).scores) > 1e-2


def test_batches_and_devices_do_not_matter():
    how = Batching("all", 120, 17, data_mesh(1))
    found = ntk.score(problem_with("summed", batching=how)).scores
    assert normwise(found, ntk.score(problem_with("summed")).scores) < 1e-5


def test_what_is_shared():
    problem = problem_with("summed")
    once = ntk.score(problem).scores
    np.testing.assert_array_equal(ntk.score(problem).scores, once)
    assert problem.candidates.computed == ["kernel scores"]
    pooled = dataclasses.replace(problem.batching, pooling="response")
    summed = dataclasses.replace(problem.batching, length_normalize=False)
    for changes in (
        {"batching": pooled},
        {"batching": summed},
        {"options": MethodOptions(kernel="random_1")},
        {"options": MethodOptions(kernel="random_1"), "seed": 1},
        {"target_tokens": problem.target_tokens[1:]},
    ):
        other = ntk.score(dataclasses.replace(problem, **changes)).scores
        assert normwise(other, once) > 1e-3
    assert problem.candidates.computed == ["kernel scores"] * 6


def test_impossible_kernels_are_refused():
    for name in ("summed", "spectral_99"):  # that may be one of a larger model
        ntk.refuse(Request(MethodOptions(kernel=name), True, True))
    with pytest.raises(InputError, match=r"^kernel spectre: no kernel 'spectre'"):
        ntk.refuse(Request(MethodOptions(kernel="spectre"), True, True))
    with pytest.raises(InputError, match=r"^kernel spectral_99: "):
        ntk.check(problem_with("spectral_99").outline)


def test_a_model_without_lora_is_refused():
    with pytest.raises(InputError, match=r"^method ntk: .* parameters lora"):
        ntk.refuse(Request(MethodOptions(), False, True))
