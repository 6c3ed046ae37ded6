import pytest

from ntkjax.commands.plan.costs.programs import PROGRAMS
from ntkjax.commands.plan.passes import passes_of
from ntkjax.selection.methods.table import METHODS
from ntkjax.selection.options import DualsftOptions, MethodOptions
from tests.commands.plan.problem import small_selection
from tests.selection.small_problem import MemoryCandidates, small_problem


def names(**changes) -> list[str]:
    return [each.stage for each in passes_of(small_selection(**changes))]


@pytest.mark.parametrize("method", METHODS)
def test_every_method_has_passes(method):
    passes = passes_of(small_selection(method=method))
    assert any(each.is_shared for each in passes)  # at least the lengths
    assert {each.program for each in passes} <= {None, *PROGRAMS}


# What the passes are called in the store, and here.
_STORED = {
    "embeddings": "embeddings",
    "kernel scores": "scores",
    "loss products": "scores",
    "unit gradient products": "scores",
    "losses": "scores",
    "loss gradient": "gradient of the pool",
    "sketches": "sketches",
}


_WITHOUT = {"dsir", "random", "length-matched"}


@pytest.mark.slow
@pytest.mark.parametrize("method", sorted(set(METHODS) - _WITHOUT))
def test_kept_passes_are_those_that_methods_make(method):
    options = DualsftOptions(kappa=0.0, lambda_prior=0.0)
    selection = small_selection(method=method, shortlist="none", dualsft=options)
    planned = [
        each.stage
        for each in passes_of(selection)
        if each.is_shared and each.stage != "gradient of the chosen"
    ]
    problem = small_problem(moments=True, options=MethodOptions(dualsft=options))
    METHODS[method].score(problem)
    assert isinstance(problem.candidates, MemoryCandidates)
    made = [_STORED[name] for name in problem.candidates.computed]
    # dualsft sums the gradients of the chosen under the name of those of the pool.
    assert sorted(set(made)) == sorted(set(planned))


def test_the_vote_comes_before_the_scores():
    assert names() == [
        "embeddings",
        "embeddings of the target",
        "vote",
        "directions of the target",
        "scores",
        "picker",
    ]


def test_less_looks_at_every_snapshot():
    passes = passes_of(small_selection(method="less", warmup="target"))
    selection = small_selection(method="less", warmup="target")
    sketches = next(each for each in passes if each.stage == "sketches")
    assert sketches.repeats == selection.snapshots
    assert sketches.row_bytes == 4 * 8192


def test_directions_that_do_not_fit_are_computed_for_every_shard(monkeypatch):
    theta = 4 * small_selection().cost.num_theta
    monkeypatch.setattr("ntkjax.selection.methods.ntk.MOST_BYTES", 5 * theta)
    passes = passes_of(small_selection(kernel="random_12", rows_per_shard=10))
    found = {each.stage: each for each in passes}
    directions, scores = found["directions of the target"], found["scores"]
    assert (directions.outputs, directions.repeats) == (5, 3 * 4)  # blocks, shards
    assert (scores.outputs, scores.repeats) == (5, 3)


def test_a_method_on_embeddings_computes_those_of_a_shortlist_once_more():
    passes = passes_of(small_selection(method="embedding", shortlist="vote"))
    found = [(each.stage, each.examples) for each in passes if each.is_shared]
    assert found == [("embeddings", 100), ("embeddings", 40)]


def test_a_share_of_the_target_is_looked_at_for_validation():
    passes = passes_of(small_selection(method="dualsft", validation_share=0.4))
    assert {each.examples for each in passes if each.side == "target"} == {2}


def test_one_shot_does_not_look_at_the_chosen():
    assert "gradient of the chosen" not in names(method="dualsft")
    first = DualsftOptions(order="data-first")
    assert "gradient of the chosen" in names(method="dualsft", dualsft=first)


def test_facility_location_needs_features():
    assert "features" in names(method="cosine", picker="facility-location")
    passes = passes_of(small_selection(method="vote", picker="facility-location"))
    assert passes[-1].host_flops == 2 * 40 * 40 * 12
