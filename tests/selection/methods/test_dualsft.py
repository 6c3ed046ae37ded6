import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkjax.checkpoints.loading import load_model
from ntkjax.checkpoints.text_encoder import text_encoder
from ntkjax.data.examples import read_examples
from ntkjax.devices.mesh import data_mesh
from ntkjax.errors import InputError
from ntkjax.models.lora import LoraSettings
from ntkjax.passes.run_pass import Batching
from ntkjax.selection.masks import mask_of
from ntkjax.selection.methods import dualsft, gradient_dot
from ntkjax.selection.options import (
    DualsftOptions,
    FisherOptions,
    MaskOptions,
    MethodOptions,
)
from ntkjax.selection.problem import Request
from tests.oracles import normwise
from tests.selection.loss_oracle import (
    explicit,
    explicit_of,
    flat,
    rebatched,
    trained_adapter,
)
from tests.selection.small_problem import MemoryCandidates, small_problem


FIRST = DualsftOptions(lambda_prior=0.0, kappa=0.0)
# Adam's moments are 1e-4 here: this makes the second order a third of the first
CURVED = DualsftOptions(lambda_prior=0.0, kappa=20_000.0)
SIGNED = MaskOptions(share=0.3, sign="signed")


def problem_with(dual, mask=None, **changes):
    mask = mask or MaskOptions()
    options = MethodOptions(dualsft=dual, mask=mask, fisher=FisherOptions(examples=9))
    return small_problem(options=options, moments=True, **changes)


def parts_of(problem):
    """v (first order), c, g and κ from explicit gradients, in tree order."""
    target, candidates = explicit_of(problem)
    c = flat(problem.snapshot.second_moment)
    return target.mean(axis=0), c, candidates, problem.options.dualsft.kappa


def scores_of(found):
    names = sorted(name for name in found.parameters if name.startswith("score/"))
    return np.concatenate([found.parameters[name].reshape(-1) for name in names])


def flat_mask(found):
    return flat(found.mask).astype(bool)


def test_rows_and_columns_equal_explicit_products():
    problem = problem_with(CURVED)
    found = dualsft.score(problem)
    v, c, g, kappa = parts_of(problem)
    mean = g.mean(axis=0)
    second = kappa * c * mean
    # float32 derivatives on both sides: 1e-6
    assert normwise(found.scores, g @ (v - second)) < 1e-5
    assert normwise(scores_of(found), (v - second) * mean) < 1e-5
    ratio = np.linalg.norm(second) / np.linalg.norm(v)
    assert found.facts["second_to_first"] == pytest.approx(ratio, rel=1e-5)
    assert ratio > 0.1
    assert (found.mask, found.features, found.rankings) == (None, None, None)
    for name, leaf in problem.snapshot.theta.items():
        np.testing.assert_array_equal(found.parameters[f"theta/{name}"], leaf)


def test_with_the_fisher_diagonal():
    options = dataclasses.replace(CURVED, curvature="fisher", kappa=1.0)
    problem = problem_with(options)
    found = dualsft.score(problem)
    v, _, g, _ = parts_of(problem)
    response = v - np.square(g).mean(axis=0) * g.mean(axis=0)
    assert normwise(found.scores, g @ response) < 1e-5


@pytest.mark.slow
def test_rows_and_columns_share_the_same_total_out():
    for problem in (
        problem_with(DualsftOptions(kappa=20_000.0)),
        problem_with(
            dataclasses.replace(CURVED, order="parameters-first", rounds=2), SIGNED
        ),
    ):
        found = dualsft.score(problem)
        complete = found.facts["completeness"]
        assert complete["rows"] == pytest.approx(found.scores.mean(), rel=1e-12)
        # JVPs and sums of gradients in float32
        assert abs(complete["difference"]) < 1e-5 * np.abs(found.scores).max()
        if found.mask is None:
            total = scores_of(found).sum()
            assert complete["columns"] == pytest.approx(total, rel=1e-6)
        json.dumps(found.facts, allow_nan=False)


def test_to_first_order_it_is_gradient_dot():
    problem = problem_with(FIRST)
    found = dualsft.score(problem).scores
    np.testing.assert_array_equal(found, gradient_dot.score(problem).scores)
    # and its very pass, after the gradients of all
    assert problem.candidates.computed == ["loss gradient", "loss products"]
    apart = gradient_dot.score(problem_with(FIRST)).scores
    np.testing.assert_array_equal(found, apart)


@pytest.mark.slow
def test_batches_and_devices_do_not_matter():
    options = DualsftOptions(kappa=20_000.0)
    found = dualsft.score(problem_with(options))
    again = dualsft.score(rebatched(problem_with(options)))  # with passes of its own
    assert normwise(again.scores, found.scores) < 1e-5
    assert normwise(scores_of(again), scores_of(found)) < 1e-5


def test_the_order_of_candidates_does_not_matter():
    problem = problem_with(DualsftOptions(kappa=20_000.0))
    order = np.random.default_rng(0).permutation(len(problem.candidates))
    texts = [text for block in problem.candidates.texts() for text in block]
    turned = dataclasses.replace(
        problem,
        candidates=MemoryCandidates(
            problem.candidates.read(order), [texts[place] for place in order]
        ),
    )
    found, other = dualsft.score(problem), dualsft.score(turned)
    assert normwise(other.scores, found.scores[order]) < 1e-5
    assert normwise(scores_of(other), scores_of(found)) < 1e-5


def test_twice_the_response_is_twice_the_scores():
    once, twice = (
        dualsft.score(
            problem_with(
                DualsftOptions(lambda_new=k, lambda_prior=0.2 * k, kappa=1e4 * k)
            )
        )
        for k in (1.0, 2.0)
    )
    # a power of two changes no rounding
    np.testing.assert_array_equal(twice.scores, 2 * once.scores)
    np.testing.assert_array_equal(scores_of(twice), 2 * scores_of(once))


def test_the_prior_counts():
    without, with_prior = (
        dualsft.score(problem_with(dataclasses.replace(FIRST, lambda_prior=weight)))
        for weight in (0.0, 5.0)
    )
    assert normwise(with_prior.scores, without.scores) > 1e-2
    assert with_prior.facts["prior_gradient_norm"] > 0
    assert "prior_gradient_norm" not in without.facts


def test_one_shot_masks_are_cut_from_the_column_scores():
    problem = problem_with(CURVED, SIGNED)
    found = dualsft.score(problem)
    plain = dualsft.score(problem_with(CURVED))
    np.testing.assert_array_equal(found.scores, plain.scores)
    columns = {name: plain.parameters[f"score/{name}"] for name in found.mask}
    expected = mask_of(columns, SIGNED)
    assert jax.tree.all(jax.tree.map(np.array_equal, found.mask, expected))
    num_parameters = sum(leaf.size for leaf in problem.snapshot.theta.values())
    assert found.facts["num_parameters"] == num_parameters
    assert found.facts["mask_parameters"] == int(0.3 * num_parameters)
    assert found.facts["num_chosen"] == 3
    assert found.facts["rounds"] == []


def test_data_first():
    problem = problem_with(dataclasses.replace(CURVED, order="data-first"), SIGNED)
    found = dualsft.score(problem)
    v, c, g, kappa = parts_of(problem)
    rows = g @ (v - kappa * c * g.mean(axis=0))
    assert normwise(found.scores, rows) < 1e-5
    mean = g[problem.pick(rows)].mean(axis=0)
    columns = (v - kappa * c * mean) * mean
    assert normwise(scores_of(found), columns) < 1e-5
    best = np.argsort(-columns)[: found.facts["mask_parameters"]]
    assert set(np.flatnonzero(flat_mask(found))) == set(best)
    kept = flat_mask(found)
    first = np.sum(kept * v * mean)
    second = first - kappa * np.sum(kept * c * mean**2)
    assert found.facts["I1"] == pytest.approx(first, rel=1e-4)
    assert found.facts["I2"] == pytest.approx(second, rel=1e-4)


def test_parameters_first():
    order = dataclasses.replace(CURVED, order="parameters-first")
    found = dualsft.score(problem_with(order, SIGNED))
    one_shot = dualsft.score(problem_with(CURVED, SIGNED))
    assert jax.tree.all(jax.tree.map(np.array_equal, found.mask, one_shot.mask))
    v, c, g, kappa = parts_of(problem_with(CURVED))
    response = v - kappa * c * g.mean(axis=0)
    assert normwise(found.scores, g @ (flat_mask(found) * response)) < 1e-5
    assert normwise(found.scores, one_shot.scores) > 1e-2


def test_rounds():
    options = dataclasses.replace(FIRST, rounds=20)
    problem = problem_with(options, SIGNED)
    found = dualsft.score(problem)
    records = found.facts["rounds"]
    assert 2 <= len(records) < 21
    # float32 gradients
    assert (np.diff([record["I1"] for record in records]) >= -1e-6).all()
    assert found.facts["I1"] == records[-1]["I1"]
    # at the end the examples are those for the mask, and the mask that of the examples
    v, _, g, _ = parts_of(problem)
    rows = g @ (flat_mask(found) * v)
    assert normwise(found.scores, rows) < 1e-5
    columns = v * g[problem.pick(rows)].mean(axis=0)
    best = np.argsort(-columns)[: found.facts["mask_parameters"]]
    assert set(np.flatnonzero(flat_mask(found))) == set(best)
    # a mask that comes again is not scored again, nor are examples
    assert problem.candidates.computed.count("loss products") <= len(records)
    assert problem.candidates.computed.count("loss gradient") <= 1 + len(records)
    computed = list(problem.candidates.computed)
    dualsft.score(problem)
    assert problem.candidates.computed == computed


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"order": "data-first"}, "dualsft.order data-first: needs a mask; give "),
        ({"order": "parameters-first"}, "dualsft.order parameters-first: needs a"),
        ({"rounds": 2}, "dualsft.rounds 2: needs a mask; give mask.share or "),
    ],
)
def test_turns_need_a_mask(changes, message):
    options = MethodOptions(dualsft=dataclasses.replace(FIRST, **changes))
    with pytest.raises(InputError) as error:
        dualsft.refuse(Request(options, True, True))
    assert str(error.value).startswith(message)


def test_a_budget_over_the_parameters_is_refused():
    problem = problem_with(FIRST, MaskOptions(budget=10**6))
    with pytest.raises(InputError, match=r"mask.budget 1000000: there are only"):
        dualsft.check(problem.outline)
    problem = problem_with(FIRST, MaskOptions(budget=3, granularity="layer"))
    with pytest.raises(InputError, match=r"mask.budget 3: the smallest layer has"):
        dualsft.check(problem.outline)


@pytest.mark.slow
@pytest.mark.parametrize("parameters", ["lora", "full"])
def test_stories260k(parameters, shared):
    """Rows on a real model and real text, cut to 32 tokens, for all parameters too."""
    folder = shared / "models" / "stories260k"
    model = load_model(folder, LoraSettings(rank=2) if parameters == "lora" else None)
    if parameters == "full":
        theta = {name: jnp.asarray(leaf) for name, leaf in model.frozen.items()}
    else:
        theta = trained_adapter(model)
    read = lambda name: read_examples([shared / "data" / name])
    texts = [*read("financial_train.jsonl")[:3], *read("pool_cot.jsonl")[:6]]
    tokenized = text_encoder(folder, 32)(texts)
    moment = jax.tree.map(lambda leaf: jnp.full_like(leaf, 0.1), theta)
    problem = problem_with(dataclasses.replace(CURVED, kappa=2.0))
    snapshot = dataclasses.replace(
        problem.snapshot, theta=theta, second_moment=moment, first_moment=moment
    )
    problem = dataclasses.replace(
        problem,
        model=model,
        start=theta,
        snapshots=(snapshot,),
        target_tokens=tuple(tokenized[:3]),
        candidates=MemoryCandidates(tokenized[3:], texts[3:]),
        batching=Batching("all", 128, 32, data_mesh()),
    )
    found = dualsft.score(problem)
    target = explicit(model, theta, tokenized[:3], 32)[1]
    g = explicit(model, theta, tokenized[3:], 32)[1]
    mean = g.mean(axis=0)
    response = target.mean(axis=0) - 0.2 * mean
    assert normwise(found.scores, g @ response) < 1e-5
    assert normwise(scores_of(found), response * mean) < 1e-5
