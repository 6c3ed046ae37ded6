import dataclasses

import jax
import numpy as np
import pytest

from ntkjax.devices.mesh import data_mesh
from ntkjax.errors import InputError
from ntkjax.gradients.per_output import flatten
from ntkjax.math.seeds import stream
from ntkjax.math.sketches import SKETCHES
from ntkjax.selection.methods.less import learning_rate_weights, refuse, score
from ntkjax.selection.options import LessOptions, MethodOptions, SketchOptions
from ntkjax.selection.problem import Request
from tests.selection.slow_gradients import explicit_gradients, matrix_of
from tests.selection.small_problem import THETA, small_problem


pytestmark = pytest.mark.slow


SIZE = sum(leaf.size for leaf in THETA.values())
GROUPS = ("b", "a", "b", "b", "a")


def options(kind="shift", size=24, **less):
    return MethodOptions(
        sketch=SketchOptions(size=size, kind=kind), less=LessOptions(**less)
    )


def problem_with(chosen=None, **changes):
    """A problem whose gradients and moments are so small that ε counts."""
    fields = {"num_snapshots": 2, "moments": True, "groups": GROUPS}
    problem = small_problem(options=chosen or options(), **(fields | changes))
    frozen = dict(problem.model.frozen)
    frozen["lm_head.weight"] = 1e-4 * frozen["lm_head.weight"]
    return dataclasses.replace(
        problem,
        model=dataclasses.replace(problem.model, frozen=frozen),
        snapshots=tuple(map(with_small_moments, problem.snapshots)),
    )


def with_small_moments(snapshot):
    scaled = lambda tree, by: jax.tree.map(lambda leaf: by * leaf, tree)
    return dataclasses.replace(
        snapshot,
        first_moment=scaled(snapshot.first_moment, 1e-4),
        second_moment=scaled(snapshot.second_moment, 1e-5),
    )


def slow_updates(gradients, snapshot, less):
    """What stands for candidates, in float64, [n, P]."""
    if less.gradient == "sgd":
        return gradients
    if less.gradient == "sign":
        return np.sign(gradients)
    m, s = (
        np.asarray(flatten(tree), np.float64)
        for tree in (snapshot.first_moment, snapshot.second_moment)
    )
    b, c = snapshot.betas
    m, s = b * m + (1 - b) * gradients, c * s + (1 - c) * gradients**2
    if less.bias_correction:
        steps = snapshot.num_steps + 1
        m, s = m / (1 - b**steps), s / (1 - c**steps)
    return m / np.sqrt(s + 1e-8) if less.epsilon_inside_root else m / (s**0.5 + 1e-8)


def sketch_matrix(problem):
    """The one sketch of a run, [P, k]."""
    sketch = problem.options.sketch
    key = jax.random.key(stream(problem.seed, "gradient sketch"))
    return matrix_of(SKETCHES[sketch.kind](SIZE, sketch.size, key), SIZE)


def slow_influence(problem):
    """Inf(z, z') of every pair, [k, m], one cosine at a time."""
    matrix = sketch_matrix(problem)
    pool = problem.candidates.read(np.arange(len(problem.candidates)))
    rates = [snapshot.learning_rate for snapshot in problem.snapshots]
    total = np.zeros((len(pool), len(problem.target)))
    for snapshot, rate in zip(problem.snapshots, rates, strict=True):
        gradients = explicit_gradients(problem.model, snapshot.theta, pool)
        updates = slow_updates(gradients, snapshot, problem.options.less) @ matrix
        targets = (
            explicit_gradients(problem.model, snapshot.theta, problem.target_tokens)
            @ matrix
        )
        for i, z in enumerate(updates):
            for j, y in enumerate(targets):
                cosine = z @ y / (np.linalg.norm(z) * np.linalg.norm(y))
                total[i, j] += rate / sum(rates) * cosine
    return total


def slow_group_means(problem):
    """[k, groups], groups in order of appearance."""
    each = slow_influence(problem)
    groups = np.array(problem.groups or [""] * len(problem.target))
    names = list(dict.fromkeys(groups.tolist()))
    return np.stack([each[:, groups == name].mean(axis=1) for name in names], axis=1)


CASES = {
    "default": options(),
    "corrected": options(bias_correction=True),
    "outside": options(epsilon_inside_root=False),
    "wide sgd": options(size=2 * SIZE, gradient="sgd"),
    "dense sign": options("rademacher", gradient="sign"),
}


@pytest.mark.parametrize("name", CASES)
def test_equals_the_formula(name):
    problem = problem_with(CASES[name])
    found = score(problem)
    means = slow_group_means(problem)
    # float32 against float64: measured 6e-8; other tile sizes and backends may do worse
    np.testing.assert_allclose(found.scores, means.max(axis=1), atol=2e-6)
    assert found.scores.dtype == np.float64
    assert len(found.rankings) == 2
    for order, column in zip(found.rankings, means.T, strict=True):
        np.testing.assert_array_equal(order, np.argsort(-column, kind="stable"))


@pytest.mark.parametrize("name", ["default", "corrected"])
def test_the_betas_are_those_of_the_warm_up(name):
    usual = problem_with(CASES[name])
    assert {snapshot.betas for snapshot in usual.snapshots} == {(0.9, 0.999)}
    other = problem_with(CASES[name])
    changed = lambda each: dataclasses.replace(each, betas=(0.5, 0.95))
    snapshots = tuple(map(changed, other.snapshots))
    other = dataclasses.replace(other, snapshots=snapshots)
    found = score(other).scores
    expected = slow_group_means(other).max(axis=1)
    np.testing.assert_allclose(found, expected, atol=2e-6)
    assert np.abs(found - score(usual).scores).max() > 1e-3


def test_every_option_counts():
    """By far more than the tolerance above."""
    scores = {
        name: score(problem_with(chosen)).scores for name, chosen in CASES.items()
    }
    for name in CASES.keys() - {"default"}:
        assert np.abs(scores[name] - scores["default"]).max() > 1e-3, name


def test_the_same_text_against_itself_is_one():
    """One example on both sides, one epoch, its plain gradient: the cosine is 1."""
    problem = problem_with(options(gradient="sgd"), groups=None, num_snapshots=1)
    example = problem.candidates.read(np.array([4]))[0]
    text = dataclasses.replace(problem.target[0], id=example.id)
    alone = dataclasses.replace(problem, target=(text,), target_tokens=(example,))
    found = score(alone)
    assert np.argmax(found.scores) == 4
    np.testing.assert_allclose(found.scores[4], 1, rtol=1e-5)
    assert found.rankings is None


def test_without_groups_all_of_the_target_is_one():
    problem = problem_with(groups=None)
    expected = slow_influence(problem).mean(axis=1)
    np.testing.assert_allclose(score(problem).scores, expected, atol=2e-6)


def test_batches_and_devices_do_not_matter():
    problem = problem_with()
    batching = dataclasses.replace(
        problem.batching, tokens_per_batch=200, mesh=data_mesh(1)
    )
    other = dataclasses.replace(problem_with(), batching=batching)
    np.testing.assert_allclose(score(other).scores, score(problem).scores, atol=1e-5)


def test_same_bits_and_another_seed_another_sketch():
    once, again = score(problem_with()).scores, score(problem_with()).scores
    np.testing.assert_array_equal(once, again)
    assert np.abs(score(problem_with(seed=1)).scores - once).max() > 1e-3


def test_features_are_the_last_unit_sketches():
    problem = problem_with(options(gradient="sgd"))
    positions = np.array([7, 0, 7, 5])
    found = score(problem).features(positions)
    assert found.shape == (4, 24)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=1e-6)
    pool = problem.candidates.read(positions)
    rows = explicit_gradients(problem.model, problem.snapshot.theta, pool)
    rows = rows @ sketch_matrix(problem)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    np.testing.assert_allclose(found, rows, atol=1e-5)


def test_passes_are_kept_and_what_decides_them_is_minimal():
    """The options of the Adam update and the target decide nothing for plain ones."""
    problem = problem_with(options(gradient="sgd"))
    score(problem)
    assert problem.candidates.computed == ["sketches"] * 2
    changed = options(gradient="sgd", epsilon_inside_root=False, bias_correction=True)
    score(dataclasses.replace(problem, options=changed))
    score(problem.limited_to([1, 2]))
    assert problem.candidates.computed == ["sketches"] * 2
    for other in (options(gradient="sign"), options("rademacher", gradient="sgd")):
        before = len(problem.candidates.computed)
        score(dataclasses.replace(problem, options=other))
        assert len(problem.candidates.computed) == before + 2
    before = len(problem.candidates.computed)
    score(dataclasses.replace(problem, seed=1))
    assert len(problem.candidates.computed) == before + 2


def test_facts():
    found = score(problem_with(options(bias_correction=True)))
    weights = found.facts.pop("learning_rate_weights")
    np.testing.assert_allclose(weights, [2 / 3, 1 / 3])
    assert found.facts == {
        "checkpoints": 2,
        "gradient": {
            "kind": "adam",
            "epsilon_inside_root": True,
            "bias_correction": True,
        },
        "sketch": {"kind": "shift", "size": 24},
    }


def test_adam_without_moments_is_refused():
    with pytest.raises(InputError, match=r"needs the Adam moments .* warmup pool"):
        refuse(Request(MethodOptions(), True, has_moments=False))
    refuse(Request(MethodOptions(), True, has_moments=True))
    refuse(Request(MethodOptions(less=LessOptions("sgd")), True, has_moments=False))


def test_a_warm_up_that_never_moved_is_refused():
    with pytest.raises(InputError, match="learning rate of the warm-up is 0 at every"):
        learning_rate_weights([0.0, 0.0])
