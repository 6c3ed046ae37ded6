import itertools

import numpy as np
import pytest

from ntkjax.checkpoints.mask import count_kept
from ntkjax.errors import InputError
from ntkjax.math.seeds import stream
from ntkjax.selection.masks import (
    check_mask_budget,
    is_asked_for,
    magnitude_mask,
    mask_budget,
    mask_of,
    random_mask,
)
from ntkjax.selection.options import GRANULARITIES, MaskOptions
from ntkjax.selection.parameter_groups import (
    group_ids,
    kind_of,
    layer_of,
    quota_kind_of,
)
from tests.selection.parameter_shapes import FULL, SHAPES, slow_groups


def draw(shapes, seed=0):
    rng = np.random.default_rng(seed)
    return {name: rng.standard_normal(shape) for name, shape in shapes.items()}


SCORES = draw(SHAPES)
TOTAL = sum(leaf.size for leaf in SCORES.values())


def flat(tree):
    return np.concatenate([np.ravel(tree[name]) for name in sorted(tree)])


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("sign", ["signed", "absolute"])
@pytest.mark.parametrize("budget", [1, 17, TOTAL])
def test_elements_are_the_highest(budget, sign, reverse):
    options = MaskOptions(budget=budget, sign=sign, reverse=reverse)
    mask = mask_of(SCORES, options)
    assert {n: m.shape for n, m in mask.items()} == SHAPES
    assert list(mask) == list(SHAPES)
    key = np.abs(flat(SCORES)) if sign == "absolute" else flat(SCORES)
    key = -key if reverse else key
    expected = np.zeros(TOTAL, bool)
    expected[np.argsort(-key, kind="stable")[:budget]] = True
    np.testing.assert_array_equal(flat(mask), expected)
    assert count_kept(mask) == budget


def test_equal_scores_go_in_order_of_names():
    scores = {"b": np.array([1.0, 2.0]), "a": np.array([1.0, 1.0])}
    mask = mask_of(scores, MaskOptions(budget=3, sign="signed"))
    assert mask["a"].tolist() == [True, True]
    assert mask["b"].tolist() == [False, True]


def test_share_and_budget():
    assert mask_budget(100, MaskOptions(share=0.29)) == 29  # 28.999… in binary
    assert mask_budget(100, MaskOptions(share=0.001)) == 1
    assert mask_budget(100, MaskOptions(share=1.0)) == 100
    assert mask_budget(100, MaskOptions(budget=100)) == 100
    with pytest.raises(InputError, match=r"mask.budget 101: .* only 100 parameters"):
        mask_budget(100, MaskOptions(budget=101))
    with pytest.raises(ValueError, match="a share or a budget"):
        mask_budget(100, MaskOptions())
    asked = [MaskOptions(share=0.1), MaskOptions(budget=1), MaskOptions()]
    assert [is_asked_for(options) for options in asked] == [True, True, False]


@pytest.mark.parametrize("shapes", [SHAPES, FULL], ids=["lora", "full"])
@pytest.mark.parametrize("sign", ["signed", "absolute"])
@pytest.mark.parametrize("granularity", ["row", "matrix", "module", "kind", "layer"])
def test_groups_are_kept_whole_best_first(granularity, sign, shapes):
    scores = draw(shapes, seed=1)
    total = sum(leaf.size for leaf in scores.values())
    options = MaskOptions(share=0.7, granularity=granularity, sign=sign)
    mask = mask_of(scores, options)
    groups = slow_groups(shapes, granularity)
    means = [np.mean([scores[n][i] for n, i in group]) for group in groups.values()]
    means = np.abs(means) if sign == "absolute" else np.array(means)
    expected = {name: np.zeros(shape, bool) for name, shape in shapes.items()}
    left = int(0.7 * total)
    for place in np.argsort(-means, kind="stable"):
        group = list(groups.values())[place]
        if len(group) > left:
            continue
        left -= len(group)
        for name, index in group:
            expected[name][index] = True
    assert 0 < count_kept(expected) < total
    np.testing.assert_array_equal(flat(mask), flat(expected))


def test_a_group_that_does_not_fit_makes_room_for_the_next():
    shapes = {"a.weight": (9,), "b.weight": (4,), "c.weight": (5,), "d.weight": (2,)}
    scores = {
        name: np.full(shape, 5.0 - i) for i, (name, shape) in enumerate(shapes.items())
    }
    options = MaskOptions(budget=8, granularity="matrix")
    kept = {name for name, leaf in mask_of(scores, options).items() if leaf.all()}
    assert kept == {"b.weight", "d.weight"}
    with pytest.raises(InputError, match="the smallest layer has 36 parameters"):
        mask_of(SCORES, MaskOptions(budget=10, granularity="layer"))


@pytest.mark.parametrize("granularity", GRANULARITIES)
@pytest.mark.parametrize("shapes", [SHAPES, FULL], ids=["lora", "full"])
def test_impossible_budgets_are_known_without_scores(shapes, granularity):
    ids = group_ids(shapes, granularity)
    smallest, total = np.bincount(ids).min(), len(ids)
    for budget in range(1, total + 2):
        options = MaskOptions(budget=budget, granularity=granularity)
        if budget > total:
            says = f"mask.budget {budget}: there are only {total} parameters"
        elif budget < smallest:
            says = (
                f"mask.budget {budget}: the smallest {granularity} has {smallest} "
                f"parameters, the budget is {budget}; raise it, or use "
                "mask.granularity element."
            )
        else:
            check_mask_budget(shapes, options)
            continue
        with pytest.raises(InputError) as error:
            check_mask_budget(shapes, options)
        assert str(error.value).startswith(says)
    with pytest.raises(InputError, match=r"mask.share 0.01: the smallest layer"):
        check_mask_budget(shapes, MaskOptions(share=0.01, granularity="layer"))


def by_label(mask, label):
    """How many of each label are kept."""
    counts = {}
    for name, leaf in mask.items():
        counts[label(name)] = counts.get(label(name), 0) + int(leaf.sum())
    return counts


def test_layer_quotas_set_the_best_of_every_layer_aside():
    # all the best lie in layer 2
    scores = {n: np.abs(s) + 9 * ("layers.2" in n) for n, s in SCORES.items()}
    free = by_label(mask_of(scores, MaskOptions(budget=20)), layer_of)
    assert free == {"0": 0, "1": 0, "2": 20}
    options = MaskOptions(budget=20, layer_quota=0.5)  # 10 // 3 in each layer
    mask = mask_of(scores, options)
    assert by_label(mask, layer_of) == {"0": 3, "1": 3, "2": 14}
    own = np.concatenate([np.ravel(scores[n]) for n in SHAPES if "layers.0" in n])
    kept = np.concatenate([scores[n][mask[n]] for n in SHAPES if "layers.0" in n])
    assert sorted(kept) == sorted(own)[-3:]


def test_module_quotas_come_after_those_of_layers():
    scores = {n: np.abs(s) + 9 * ("q_proj" in n) for n, s in SCORES.items()}
    options = MaskOptions(budget=20, layer_quota=0.3, module_quota=0.4)
    mask = mask_of(scores, options)
    # 2 in each of 3 layers, all q; then 4 of the rest of each module; then 6 more q
    assert by_label(mask, kind_of) == {"q_proj": 16, "down_proj": 4}
    assert min(by_label(mask, layer_of).values()) >= 2
    assert count_kept(mask) == 20


def test_a_quota_larger_than_its_layer_goes_to_the_others():
    shapes = {"layers.0.q_proj.a": (2,), "layers.1.q_proj.a": (20,)}
    scores = {name: 1 + np.abs(leaf) for name, leaf in draw(shapes).items()}
    mask = mask_of(scores, MaskOptions(budget=10, layer_quota=1.0))
    assert by_label(mask, layer_of) == {"0": 2, "1": 8}


def test_what_is_in_no_projection_has_a_module_quota_together():
    """Embeddings, norms and heads are in no layer; the first layer's norm is."""
    scores = {n: np.full(s, 1.0 + ("q_proj" in n)) for n, s in FULL.items()}
    free = mask_of(scores, MaskOptions(budget=10))
    assert by_label(free, quota_kind_of) == {"q_proj": 10, "other": 0}
    mask = mask_of(scores, MaskOptions(budget=10, module_quota=0.8))
    assert by_label(mask, quota_kind_of) == {"q_proj": 6, "other": 4}
    # the head is the first of them by name
    assert by_label(mask, kind_of) == {"embed": 0, "norms": 0, "q_proj": 6, "head": 4}
    mask = mask_of(scores, MaskOptions(budget=10, layer_quota=0.4, module_quota=0.4))
    assert by_label(mask, layer_of) == {None: 2, "0": 6, "1": 2}


@pytest.mark.parametrize("flag", ["layer_quota", "module_quota"])
def test_quotas_need_elements(flag):
    options = MaskOptions(share=0.5, granularity="row", **{flag: 0.2})
    with pytest.raises(InputError, match=r"_quota: expected .* element, not row"):
        mask_of(SCORES, options)


def test_scores_must_be_finite():
    scores = {**SCORES, next(iter(SCORES)): np.full((2, 4), np.nan)}
    with pytest.raises(ValueError, match="finite"):
        mask_of(scores, MaskOptions(share=0.5))


def test_random_masks():
    options = MaskOptions(share=0.25)
    one, same, other = (random_mask(SHAPES, options, seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(flat(one), flat(same))
    assert (flat(one) != flat(other)).any()
    assert count_kept(one) == TOTAL // 4
    draws = np.random.default_rng(stream(3, "random mask")).random(TOTAL)
    np.testing.assert_array_equal(flat(one), draws >= np.sort(draws)[-TOTAL // 4])
    turned = dict(reversed(SHAPES.items()))  # the order of names does not matter
    np.testing.assert_array_equal(flat(random_mask(turned, options, 3)), flat(one))

    # Every element is as likely: 400 draws of 27 of 108, standard error 2.2%.
    counts = sum(flat(random_mask(SHAPES, options, s)).astype(int) for s in range(400))
    z = (counts / 400 - 0.25) / np.sqrt(0.25 * 0.75 / 400)
    assert np.abs(z).max() < 4.5
    assert 0.7 < np.std(z) < 1.3


def test_random_groups_of_all_sizes_are_as_likely():
    shapes = {"layers.0.q_proj.a": (1,), "layers.1.q_proj.a": (9,)}
    options = MaskOptions(budget=9, granularity="matrix")
    masks = [random_mask(shapes, options, seed) for seed in range(200)]
    small_first = sum(mask["layers.0.q_proj.a"].all() for mask in masks)
    assert abs(small_first / 200 - 0.5) < 4 * np.sqrt(0.25 / 200)


def test_magnitude_masks_keep_the_largest_of_either_sign():
    theta = {"a": np.array([[3.0, -5.0]], np.float32), "b": np.array([4.0, 0.0], "f4")}
    for sign in ("signed", "absolute"):
        mask = magnitude_mask(theta, MaskOptions(budget=2, sign=sign))
        assert mask["a"].tolist() == [[False, True]]
        assert mask["b"].tolist() == [True, False]


def test_one_more_in_the_budget_keeps_all_that_was_kept():
    masks = [flat(mask_of(SCORES, MaskOptions(budget=k))) for k in range(1, TOTAL + 1)]
    for smaller, larger in itertools.pairwise(masks):
        assert (larger >= smaller).all()
