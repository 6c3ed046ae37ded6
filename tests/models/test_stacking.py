"""A scan over stacked layers gives what the layers give one by one."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkjax.gradients.per_output import flatten
from ntkjax.models.config import LayerKind, Rotary
from ntkjax.models.lora import LoraSettings
from ntkjax.models.stacking import (
    STACKED_FROM,
    in_tree_order,
    stack_layers,
    unstack_layers,
)
from tests.problems import RANK_TWO, random_model, tiny_config


TOKENS = jnp.array([3, 1, 4, 1, 5, 9, 2, 6])
ROTARY = Rotary(100.0)
SOME = LoraSettings(rank=2, targets=(r"model\.layers\.[12]\.mlp\.\w+", "lm_head"))
MIXED = (LayerKind(ROTARY, 3), LayerKind(None), LayerKind(Rotary(20.0)))
CASES = {
    "one kind": (tiny_config(num_layers=3), RANK_TWO),
    "three kinds": (tiny_config(layers=MIXED, post_norms=True), RANK_TWO),
    "some layers adapted": (tiny_config(num_layers=4), SOME),
    "all weights": (tiny_config(num_layers=3, tie_embeddings=True), None),
}


def both(name):
    config, lora = CASES[name]
    model, theta = random_model(config, lora)
    return model, model.stacked(), theta


def wide(tree):
    return jax.tree.map(lambda leaf: leaf.astype(jnp.float64), tree)


def close(found, expected):
    """Sums of float64 in two orders."""
    for one, other in zip(
        jax.tree.leaves(found), jax.tree.leaves(expected), strict=True
    ):
        one, other = np.asarray(one), np.asarray(other)
        assert one.shape == other.shape
        assert np.abs(one - other).max() <= 1e-10 * np.abs(other).max()


def logits(model, theta):
    return model.logits(theta, model.hidden(theta, TOKENS))


IN_FAST_TIER = "three kinds"
"""Derivatives of a case take 20 s to compile."""


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name == IN_FAST_TIER else pytest.mark.slow)
        for name in CASES
    ],
)
def test_logits_and_derivatives(x64, name):
    model, stacked, theta = wide(both(name))
    assert stacked.is_stacked
    assert not model.is_stacked

    @jax.jit
    def found(model, theta):
        f = lambda theta: jnp.sum(jnp.tanh(logits(model, theta)))
        value, gradient = jax.value_and_grad(f)(theta)
        rate = jax.jvp(jax.grad(f), (theta,), (theta,))[1]
        return value, logits(model, theta), gradient, rate

    close(found(stacked, theta), found(model, theta))


@pytest.mark.parametrize("name", CASES)
def test_further_tokens_after_a_cache(x64, name):
    _, stacked, theta = wide(both(name))

    @jax.jit
    def extended(model, theta):
        cache = model.empty_cache(9)
        first, cache = model.extend(theta, TOKENS[:5], cache, 0)
        second, _ = model.extend(theta, TOKENS[5:], cache, 5)
        return jnp.concatenate([first, second])

    close(
        extended(stacked, theta), jax.jit(type(stacked).hidden)(stacked, theta, TOKENS)
    )


def test_weights_are_found_by_their_names_in_the_checkpoint():
    model, stacked, _ = both("some layers adapted")
    assert set(model.weight_shapes) == set(model.frozen)
    for name, leaf in model.frozen.items():
        assert (stacked.weight(name) == leaf).all(), name
        assert stacked.weight_shapes[name] == leaf.shape
    with pytest.raises(KeyError, match="no such"):
        stacked.weight("no such")
    assert len(stacked.frozen) == 2 + 1 + 9  # embedding, norm, head; a layer's


DEEP = STACKED_FROM + 3
"""Layers of which some have numbers of two digits."""


def adapter(targets=("q_proj", "down_proj", "lm_head"), depth=DEEP, leading=()):
    """Random matrices of LoRA with these leading axes."""
    shapes = random_model(
        tiny_config(num_layers=depth), LoraSettings(rank=2, targets=targets)
    )[1]
    rng = np.random.default_rng(0)
    draw = lambda leaf: rng.normal(size=(*leading, *leaf.shape))
    return jax.tree.map(draw, shapes)


@pytest.mark.parametrize("leading", [(), (3,)], ids=["θ", "directions"])
@pytest.mark.parametrize("on_host", [True, False])
def test_adapters_side_by_side_and_back(leading, on_host):
    named = adapter(leading=leading)
    if not on_host:
        named = jax.tree.map(jnp.asarray, named)
    stacked, rest = stack_layers((named, {"x": np.zeros(3)}))
    assert len(stacked) == 2 * 3
    kind = np.ndarray if on_host else jax.Array
    assert all(isinstance(leaf, kind) for leaf in stacked.values())
    leaf = stacked["model.layers.*.mlp.down_proj.lora_A"]
    assert leaf.shape[:-2] == (*leading, DEEP)
    expected = named["model.layers.10.mlp.down_proj.lora_A"]
    np.testing.assert_array_equal(leaf[..., 10, :, :], expected)
    assert list(rest) == ["x"]
    again = stack_layers(stacked)
    assert all(again[name] is stacked[name] for name in stacked)
    found = unstack_layers(stacked)
    assert set(found) == set(named)
    for name, leaf in named.items():
        np.testing.assert_array_equal(found[name], leaf)


@pytest.mark.parametrize(
    ("targets", "depth"),
    [
        ((r"model\.layers\.1\d\..*q_proj",), DEEP),
        (("q_proj", r".*layers\.3\.mlp\.down_proj"), DEEP),
        (("lm_head",), DEEP),
        (("q_proj",), STACKED_FROM - 1),
    ],
    ids=["last layers", "one more in a layer", "head alone", "shallow"],
)
def test_other_adapters_stay_as_they_are(targets, depth):
    named = adapter(targets, depth)
    found = stack_layers(named)
    assert all(found[name] is leaf for name, leaf in named.items())
    assert in_tree_order(named) is named


def test_weights_stay_as_they_are():
    """Those beside an adapter, too: norms are no matrices."""
    _, weights = random_model(tiny_config(num_layers=DEEP), None)
    for theta in (weights, weights | adapter(), {}):
        assert stack_layers(theta).keys() == theta.keys()


@pytest.mark.parametrize("targets", [("q_proj", "down_proj"), ("q_proj", "lm_head")])
def test_gradients_side_by_side_flatten_like_those_layer_by_layer(targets):
    named = jax.tree.map(jnp.asarray, adapter(targets))
    found = flatten(in_tree_order(stack_layers(named)))
    np.testing.assert_array_equal(found, flatten(named))


@pytest.mark.parametrize(
    ("q_proj", "is_stacked"),
    [("q_proj", True), ("q_proj", False), (r"model\.layers\.\d\..*q_proj", True)],
    ids=["all layers", "not scanned", "the first ten layers"],
)
def test_a_model_takes_an_adapter_either_way(x64, q_proj, is_stacked):
    lora = LoraSettings(rank=2, targets=(q_proj, "lm_head"))
    model, theta = random_model(tiny_config(num_layers=DEEP), lora)
    assert len(stack_layers(theta)) == 4
    model, theta = wide((model.stacked() if is_stacked else model, theta))
    close(jax.jit(logits)(model, stack_layers(theta)), jax.jit(logits)(model, theta))


def test_the_program_does_not_grow_with_the_depth():
    def length(num_layers):
        model, theta = random_model(tiny_config(num_layers=num_layers))
        trace = jax.make_jaxpr(lambda m, t: m.hidden(t, TOKENS))
        jaxpr = trace(model.stacked(), theta).jaxpr
        return sum(e.primitive.name == "dot_general" for e in jaxpr.eqns)

    assert length(2) == length(5)


def test_a_backward_pass_keeps_what_linear_layers_give():
    config = tiny_config(num_layers=4)
    model, theta = random_model(config, RANK_TWO)
    gradient = jax.grad(lambda theta, model: jnp.sum(logits(model, theta)))
    jaxpr = jax.make_jaxpr(gradient)(theta, model.stacked()).jaxpr
    forward = next(e for e in jaxpr.eqns if e.primitive.name == "scan")
    kept = [v.aval.shape for v in forward.outvars if v.aval.shape[:1] == (4,)]
    # The last output of a layer is only added to, which needs no derivative of its own.
    layer = [
        shape[0]
        for name, shape in model.weight_shapes.items()
        if name.startswith("model.layers.0.") and len(shape) == 2
        if not name.endswith("down_proj.weight")
    ]
    ranks = [
        leaf.shape[0]
        for name, leaf in theta.items()
        if name.startswith("model.layers.0.") and name.endswith("lora_A")
    ]
    expected = config.hidden_size + sum(layer) + sum(ranks)
    assert sum(map(math.prod, kept)) == 4 * len(TOKENS) * expected
