import itertools
from dataclasses import replace

import numpy as np
import pytest

from ntkjax.selection.dualsft.rescoring import (
    alternate,
    data_first,
    jaccard,
    one_shot,
    parameters_first,
)
from ntkjax.selection.options import MaskOptions
from tests.selection.dualsft.toy import toy, tree, vector


SIGNED = MaskOptions(budget=3, sign="signed")


def best(size, total, value):
    """The subset of the highest value, by looking at all of them."""
    subsets = itertools.combinations(range(total), size)
    return set(max(subsets, key=value))


def kept(parameters):
    return set(np.flatnonzero(vector(parameters.mask)).tolist())


def chosen(data):
    return set(data.chosen.tolist())


@pytest.mark.parametrize("seed", range(5))
def test_one_shot_is_the_best_of_either_side_for_all_of_the_other(seed):
    problem = toy(8, 6, seed=seed)
    data, parameters = one_shot(problem.sides(3, SIGNED))
    # what is left out adds nothing to the mean over all: rows are linear in S
    response = vector(problem.surrogate.response(tree(problem.mean)))
    rows = lambda examples: sum(problem.gradients[n] @ response for n in examples)
    assert chosen(data) == best(3, 8, rows)
    assert kept(parameters) == best(3, 6, lambda m: problem.value(range(8), m))


@pytest.mark.parametrize("seed", range(5))
def test_data_first_has_the_best_mask_for_its_examples(seed):
    problem = toy(8, 6, kappa=0.9, seed=seed)
    sides = problem.sides(3, SIGNED)
    data, parameters = data_first(sides)
    assert chosen(data) == chosen(one_shot(sides)[0])
    # at second order, since the mask's value is a sum over parameters
    value = lambda m: problem.value(data.chosen, m)
    assert kept(parameters) == best(3, 6, value)


@pytest.mark.parametrize("seed", range(5))
def test_parameters_first_has_the_best_examples_for_its_mask(seed):
    problem = toy(8, 6, kappa=0.0, seed=seed)
    sides = problem.sides(3, SIGNED)
    data, parameters = parameters_first(sides)
    assert kept(parameters) == kept(one_shot(sides)[1])
    value = lambda examples: problem.value(examples, kept(parameters))
    assert chosen(data) == best(3, 8, value)


def test_rows_under_a_mask_at_second_order():
    problem = toy(8, 6, kappa=0.9)
    data, parameters = parameters_first(problem.sides(3, SIGNED))
    response = problem.validation - 0.9 * problem.curvature * problem.mean
    expected = problem.gradients @ (vector(parameters.mask) * response)
    np.testing.assert_allclose(data.scores, expected, rtol=1e-12)


@pytest.mark.parametrize("order", ["one-shot", "data-first", "parameters-first"])
def test_to_first_order_turns_never_lose_and_end(order):
    moved = 0
    for seed in range(20):
        problem = toy(30, 20, kappa=0.0, seed=seed)
        sides = problem.sides(5, MaskOptions(budget=4, sign="signed"))
        (data, parameters), records = alternate(sides, order, 50)
        values = [record["I1"] for record in records]
        # sums of 20 float64 numbers
        assert (np.diff(values) > -1e-12).all()
        moved += values[-1] > values[0] + 1e-6
        last = records[-1]
        assert last["jaccard_data"] == last["jaccard_parameters"] == 1
        assert len(records) < 51
        expected = problem.value(data.chosen, kept(parameters))
        assert last["I1"] == last["I2"] == pytest.approx(expected)
        # a fixed point: neither side can do better alone
        again = sides.parameters(data.mean_gradient)
        assert kept(again) == kept(parameters)
        assert chosen(sides.data(parameters.mask)) == chosen(data)
    assert moved > 10


def test_records_of_rounds():
    problem = toy(12, 8, kappa=0.5, seed=3)
    sides = problem.sides(4, SIGNED)
    (data, parameters), records = alternate(sides, "one-shot", 2)
    assert [record["round"] for record in records] == list(range(len(records)))
    before, after = one_shot(sides), (data, parameters)
    start, first = records[0], records[1]
    assert start["jaccard_data"] is start["jaccard_parameters"] is None
    assert start["I2"] == pytest.approx(
        problem.value(before[0].chosen, kept(before[1]))
    )
    # round 1: the mask for the examples, then the examples for the mask
    mask = sides.parameters(before[0].mean_gradient)
    examples = sides.data(mask.mask)
    a, b = chosen(before[0]), chosen(examples)
    assert first["jaccard_data"] == len(a & b) / len(a | b)
    a, b = kept(before[1]), kept(mask)
    assert first["jaccard_parameters"] == len(a & b) / len(a | b)
    assert first["I1"] == pytest.approx(
        problem.value(examples.chosen, kept(mask), second=False)
    )
    assert records[-1]["I2"] == pytest.approx(
        problem.value(after[0].chosen, kept(after[1]))
    )


def test_after_data_first_the_examples_move_first():
    problem = toy(30, 20, kappa=0.0, seed=1)
    sides = problem.sides(5, SIGNED)
    (data, parameters), records = alternate(sides, "data-first", 1)
    before = data_first(sides)
    assert chosen(data) == chosen(sides.data(before[1].mask))
    assert kept(parameters) == kept(sides.parameters(data.mean_gradient))
    assert len(records) == 2
    assert records[1]["I1"] > records[0]["I1"]


def test_no_rounds_and_no_mask():
    problem = toy()
    sides = problem.sides(2, SIGNED)
    everything = replace(sides, cut=lambda scores: None)
    (data, parameters), records = alternate(everything, "one-shot", 0)
    assert parameters.mask is None
    assert records == []
    (data, parameters), records = alternate(everything, "data-first", 0)
    assert len(records) == 1
    assert records[0]["I2"] == pytest.approx(problem.value(data.chosen, range(4)))


def test_one_shot_looks_at_no_chosen_example():
    def refuse(chosen):
        raise AssertionError("asked for the gradient of the chosen")

    sides = replace(toy().sides(2, SIGNED), gradient_of=refuse)
    alternate(sides, "one-shot", 0)
    for order, rounds in (("one-shot", 1), ("data-first", 0), ("parameters-first", 0)):
        with pytest.raises(AssertionError, match="the chosen"):
            alternate(sides, order, rounds)


def test_jaccard():
    assert jaccard(np.array([3, 1]), np.array([1, 3])) == 1
    assert jaccard(np.array([1]), np.array([2])) == 0
    assert jaccard(np.array([]), np.array([])) == 1


def test_masks_are_those_of_the_scores_in_a_file():
    """Scores that a file in float32 cannot tell apart go in order of names."""
    problem = toy(3, 2, kappa=0.0)
    close = np.array([1.0, 1.0 + 1e-9])  # the second is the higher one
    problem = replace(problem, gradients=np.tile(close, (3, 1)), validation=np.ones(2))
    _, parameters = one_shot(problem.sides(1, replace(SIGNED, budget=1)))
    assert vector(parameters.mask).tolist() == [True, False]
    stored = {name: leaf.astype(np.float32) for name, leaf in parameters.scores.items()}
    np.testing.assert_array_equal(vector(stored), vector(parameters.scores))
