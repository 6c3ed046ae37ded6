from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkjax.models.language_model import split_model
from ntkjax.models.lora import LoraSettings, initial_theta
from tests.problems import RANK_TWO, random_model, tiny_config


TOKENS = jnp.arange(6, dtype=jnp.int32)


def test_shapes_of_theta():
    model, theta = random_model(tiny_config(num_layers=1), LoraSettings(3))
    assert model.theta_shapes == {name: leaf.shape for name, leaf in theta.items()}
    sizes = {  # module: in, out; four heads of 4 for queries, two for keys and values
        "self_attn.q_proj": (12, 16),
        "self_attn.k_proj": (12, 8),
        "self_attn.v_proj": (12, 8),
        "self_attn.o_proj": (16, 12),
        "mlp.gate_proj": (12, 20),
        "mlp.up_proj": (12, 20),
        "mlp.down_proj": (20, 12),
    }
    expected = {}
    for module, (in_size, out_size) in sizes.items():
        expected[f"model.layers.0.{module}.lora_A"] = (3, in_size)
        expected[f"model.layers.0.{module}.lora_B"] = (out_size, 3)
    assert list(model.theta_shapes.items()) == list(expected.items())


@pytest.mark.slow
@pytest.mark.parametrize("tied", [False, True])
def test_head(tied):
    model, theta = random_model(tiny_config(tie_embeddings=tied))
    name = "model.embed_tokens.weight" if tied else "lm_head.weight"
    assert ("lm_head.weight" in model.frozen) is not tied
    assert model.head.shape == (12, 40)
    assert (model.head == model.frozen[name].T).all()
    assert model.head_obstacle is None
    hidden = model.hidden(theta, TOKENS)
    expected = np.asarray(hidden, np.float64) @ np.asarray(model.head, np.float64)
    # float32 products of 12 numbers
    np.testing.assert_allclose(model.logits(theta, hidden), expected, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("targets", [("lm_head",), (r".*",), (r"lm_.*", "q_proj")])
def test_an_adapted_head_is_not_linear(targets):
    model, theta = random_model(tiny_config(), LoraSettings(2, targets=targets))
    assert model.head_obstacle
    hidden = model.hidden(theta, TOKENS)
    assert not np.allclose(model.logits(theta, hidden), hidden @ model.head, atol=1e-2)


def test_soft_capped_logits_are_not_linear():
    model, theta = random_model(tiny_config(final_softcap=0.5))
    assert model.head_obstacle == "the model soft-caps its logits"
    hidden = model.hidden(theta, TOKENS)
    expected = 0.5 * np.tanh(np.asarray(hidden @ model.head) / 0.5)
    np.testing.assert_allclose(model.logits(theta, hidden), expected, atol=1e-5)


def test_all_weights_of_a_gemma_stand_in_the_order_of_the_forward_pass():
    config = tiny_config(num_layers=1, qk_norm=True, post_norms=True)
    model, _ = random_model(config, None)
    names = [name.removeprefix("model.layers.0.") for name in model.theta_shapes]
    assert names == [
        "model.embed_tokens.weight",
        "input_layernorm.weight",
        *(f"self_attn.{x}_proj.weight" for x in "qkv"),
        *(f"self_attn.{x}_norm.weight" for x in "qk"),
        "self_attn.o_proj.weight",
        "post_attention_layernorm.weight",
        "pre_feedforward_layernorm.weight",
        *(f"mlp.{x}_proj.weight" for x in ("gate", "up", "down")),
        "post_feedforward_layernorm.weight",
        "model.norm.weight",
        "lm_head.weight",
    ]


@pytest.mark.slow
def test_astype():
    model, theta = random_model(tiny_config(qkv_bias=True, output_bias=True))
    half = model.astype(jnp.bfloat16)
    assert {leaf.dtype for leaf in half.frozen.values()} == {np.dtype(jnp.bfloat16)}
    assert {leaf.dtype for leaf in model.frozen.values()} == {np.dtype(np.float32)}
    assert half.theta_shapes == model.theta_shapes

    hidden, grads = jax.jit(
        jax.value_and_grad(lambda t: half.hidden(t, TOKENS).astype(jnp.float32).sum())
    )(theta)
    assert hidden.dtype == jnp.float32
    assert {leaf.dtype for leaf in grads.values()} == {np.dtype(np.float32)}

    run = jax.jit(lambda m: m.hidden(theta, TOKENS))
    low, high = run(half), run(model)
    assert low.dtype == jnp.bfloat16
    error = jnp.abs(low.astype(jnp.float32) - high).max() / jnp.abs(high).max()
    # bfloat16 rounds to 2^-9 at each of some twenty steps: not equal, but near.
    assert 1e-4 < error < 0.1


def test_frozen_weights_are_arguments_of_a_compiled_program():
    """Two models of one config share one program, and no weight is baked into it."""
    first, theta = random_model(tiny_config(), seed=0)
    second, _ = random_model(tiny_config(), seed=1)
    traces = []

    @jax.jit
    def hidden(model, theta):
        traces.append(1)
        return model.hidden(theta, TOKENS)

    found = [hidden(model, theta) for model in (first, second)]
    assert len(traces) == 1
    assert not jnp.allclose(*found, atol=1e-2)
    hidden(random_model(tiny_config(norm_eps=0.1))[0], theta)
    assert len(traces) == 2

    trace = jax.make_jaxpr(lambda model, theta: model.hidden(theta, TOKENS))
    program = trace(first, theta)
    assert len(program.in_avals) == len(first.frozen) + len(theta)
    # Its constants are the tokens and small tables; a weight has 96 numbers or more.
    assert all(np.size(constant) < 20 for constant in program.consts)


def test_a_model_is_a_pytree_of_its_weights():
    model, _ = random_model(tiny_config())
    leaves, treedef = jax.tree.flatten(model)
    assert len(leaves) == len(model.frozen)
    again = jax.tree.unflatten(treedef, leaves)
    assert again.config == model.config
    assert again.frozen.keys() == model.frozen.keys()


def test_splitting_allocates_nothing():
    config = tiny_config(vocab_size=200_000, hidden_size=16_384, num_layers=2)
    graphdef, theta, frozen = split_model(config, RANK_TWO, jnp.bfloat16)
    leaves = [*theta.values(), *frozen.values()]
    assert all(isinstance(leaf, jax.ShapeDtypeStruct) for leaf in leaves)
    assert {leaf.dtype for leaf in theta.values()} == {np.dtype(np.float32)}
    assert {leaf.dtype for leaf in frozen.values()} == {np.dtype(jnp.bfloat16)}
    assert hash(graphdef) == hash(split_model(config, RANK_TWO, jnp.bfloat16)[0])


def test_theta_may_come_in_any_order():
    model, theta = random_model(tiny_config())
    turned = dict(reversed(theta.items()))
    assert (model.hidden(theta, TOKENS) == model.hidden(turned, TOKENS)).all()
    start = initial_theta(model.theta_shapes, jax.random.key(0))
    assert list(start) == list(model.theta_shapes)


@pytest.mark.slow
def test_a_cache_has_the_type_of_the_activations():
    model, theta = random_model(tiny_config(num_layers=1))
    half = model.astype(jnp.bfloat16)
    cache = half.empty_cache(7)
    assert len(cache) == 1
    # positions, key/value heads, numbers per head
    assert [leaf.shape for leaf in cache[0]] == [(7, 2, 4)] * 2
    hidden, after = half.extend(theta, TOKENS, cache, 0)
    assert hidden.dtype == jnp.bfloat16
    assert {leaf.dtype for leaf in cache[0] + after[0]} == {np.dtype(jnp.bfloat16)}
    expected = np.asarray(half.hidden(theta, TOKENS), np.float32)
    # One more key, masked: bfloat16 may round differently once in 2^8.
    np.testing.assert_allclose(
        np.asarray(hidden, np.float32), expected, atol=2**-6 * np.abs(expected).max()
    )


@pytest.mark.parametrize("tied", [False, True])
def test_all_weights_as_theta(tied):
    config = tiny_config(
        num_layers=2, qkv_bias=True, output_bias=True, tie_embeddings=tied
    )
    model, theta = random_model(config, None)
    names = list(model.theta_shapes)
    assert set(names) == set(model.frozen) == set(theta)
    assert names[:4] == [
        "model.embed_tokens.weight",
        "model.layers.0.input_layernorm.weight",
        "model.layers.0.self_attn.q_proj.weight",
        "model.layers.0.self_attn.q_proj.bias",
    ]
    last = ["model.layers.1.mlp.down_proj.weight", "model.norm.weight"]
    last += [] if tied else ["lm_head.weight"]
    assert names[-len(last) :] == last
    assert names.index("model.layers.0.mlp.down_proj.weight") < names.index(
        "model.layers.1.input_layernorm.weight"
    )
    assert model.head_obstacle

    same = replace(model, frozen=theta)  # θ in place of the weights
    adapted, zeros = random_model(config)
    adapted = replace(adapted, frozen=theta)
    zeros = jax.tree.map(jnp.zeros_like, zeros)
    hidden = model.hidden(theta, TOKENS)
    assert (hidden == same.hidden({}, TOKENS)).all()
    logits = model.logits(theta, hidden)
    expected = adapted.logits(zeros, adapted.hidden(zeros, TOKENS))
    # B A = 0 is added here and not there.
    np.testing.assert_allclose(logits, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.slow
def test_a_tied_embedding_has_the_gradient_of_both_its_uses():
    """Rows of tokens that are not read have one through the head alone."""
    model, theta = random_model(tiny_config(num_layers=1, tie_embeddings=True), None)

    def loss(theta):
        logits = model.logits(theta, model.hidden(theta, TOKENS))
        return jax.nn.logsumexp(logits, axis=-1).sum()

    gradient = jax.grad(loss)(theta)
    assert gradient.keys() == theta.keys()
    assert all(np.abs(leaf).max() > 0 for leaf in gradient.values())
    rows = np.abs(gradient["model.embed_tokens.weight"]).sum(axis=1)
    assert (rows > 0).all()


@pytest.mark.slow
def test_weights_in_theta_are_computed_in_the_type_of_the_model():
    model, theta = random_model(tiny_config(num_layers=1), None)
    half = model.astype(jnp.bfloat16)

    def total(theta):
        hidden = half.hidden(theta, TOKENS)
        assert hidden.dtype == jnp.bfloat16
        return half.logits(theta, hidden).astype(jnp.float32).sum()

    gradient = jax.grad(total)(theta)
    assert {leaf.dtype for leaf in gradient.values()} == {np.dtype(np.float32)}
    part = {"model.norm.weight": theta["model.norm.weight"]}
    assert half.hidden(part, TOKENS).dtype == jnp.bfloat16
