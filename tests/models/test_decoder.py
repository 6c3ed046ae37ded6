"""Causality, padding, layers and activations; parity with transformers is in
tests/golden."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkjax.errors import InputError
from ntkjax.models.attention import kind_of
from ntkjax.models.config import LayerKind, Llama3Scaling, Rotary
from tests.problems import random_model, tiny_config


ROTARY = Rotary(100.0)
CONFIGS = {
    "grouped": tiny_config(),
    "tied": tiny_config(tie_embeddings=True, num_kv_heads=4),
    "biases": tiny_config(
        qkv_bias=True, output_bias=True, mlp_bias=True, num_kv_heads=1
    ),
    "windows": tiny_config(layers=(LayerKind(ROTARY, 3), LayerKind(ROTARY))),
    "gemma": tiny_config(
        layers=(LayerKind(Rotary(20.0), 3), LayerKind(ROTARY)),
        qk_norm=True,
        attention_softcap=2.0,
        final_softcap=3.0,
        embedding_scale=12**0.5,
        unit_offset=True,
        post_norms=True,
    ),
    "no positions": tiny_config(layers=(LayerKind(None), LayerKind(ROTARY))),
}


@jax.jit
def hidden(model, theta, tokens):
    return model.hidden(theta, tokens)


def draw_tokens(length, seed=0):
    rng = np.random.default_rng(seed)
    return jnp.asarray(rng.integers(0, 40, length), jnp.int32)


@pytest.mark.slow
@pytest.mark.parametrize("name", CONFIGS)
def test_a_later_token_changes_nothing_before_it(name):
    model, theta = random_model(CONFIGS[name])
    tokens, place = draw_tokens(12), 7
    before = hidden(model, theta, tokens)
    after = hidden(model, theta, tokens.at[place].set((tokens[place] + 1) % 40))
    # One program, and a masked score contributes exactly 0: bit-identical.
    assert (before[:place] == after[:place]).all()
    assert (before[place:] != after[place:]).any(axis=1).all()


@pytest.mark.slow
@pytest.mark.parametrize("name", CONFIGS)
def test_padding_on_the_right_changes_nothing(name):
    model, theta = random_model(CONFIGS[name])
    tokens = draw_tokens(9)
    alone = hidden(model, theta, tokens)
    padded = hidden(model, theta, jnp.pad(tokens, (0, 11)))[:9]
    # Another shape is another program, which may add in another order.
    assert jnp.abs(alone - padded).max() <= 1e-5 * jnp.abs(alone).max()


def test_a_token_outside_the_window_changes_nothing():
    """One layer with window 3: position t sees t, t − 1 and t − 2."""
    model, theta = random_model(tiny_config(layers=(LayerKind(ROTARY, 3),)))
    tokens = draw_tokens(12)
    before = hidden(model, theta, tokens)
    after = hidden(model, theta, tokens.at[4].set((tokens[4] + 1) % 40))
    # One program, and a masked score contributes exactly 0: bit-identical.
    changed = (before != after).any(axis=1)
    assert changed.tolist() == [t in (4, 5, 6) for t in range(12)]


def test_without_rotation_the_order_of_earlier_tokens_does_not_matter():
    model, theta = random_model(tiny_config(layers=(LayerKind(None),)))
    tokens = draw_tokens(9)
    swapped = tokens.at[jnp.array([2, 5])].set(tokens[jnp.array([5, 2])])
    first, second = (hidden(model, theta, t)[-1] for t in (tokens, swapped))
    # The same sum in another order.
    assert jnp.abs(first - second).max() < 1e-5 * jnp.abs(first).max()
    rotated, theta = random_model(tiny_config(num_layers=1))
    first, second = (hidden(rotated, theta, t)[-1] for t in (tokens, swapped))
    assert jnp.abs(first - second).max() > 1e-3 * jnp.abs(first).max()


def test_more_tokens_than_positions_are_refused():
    model, theta = random_model(tiny_config(max_positions=8))
    assert hidden(model, theta, draw_tokens(8)).shape == (8, 12)
    with pytest.raises(InputError, match=r"9 tokens.*positions for 8.*max_length"):
        hidden(model, theta, draw_tokens(9))


@pytest.mark.slow
def test_twelve_layers_run_in_the_order_of_their_numbers():
    # `layers.10` sorts before `layers.2` as text; a mix-up would keep every shape.
    model, theta = random_model(tiny_config(num_layers=12))
    tokens = draw_tokens(6)
    found = hidden(model, theta, tokens)

    def part(index):
        """A model of layer `index` alone, without the final norm's effect."""
        one, _ = random_model(tiny_config(num_layers=1))
        prefix = f"model.layers.{index}."
        pick = lambda leaves: {
            name.replace(prefix, "model.layers.0."): leaf
            for name, leaf in leaves.items()
            if name.startswith(prefix)
        }
        return one._merged({**one.frozen, **pick(model.frozen), **pick(theta)})

    stream = model.frozen["model.embed_tokens.weight"][tokens]
    for index in range(12):
        kind = kind_of(model.config.layers[index], model.config.head_dim)
        stream = part(index).model.layers[0](stream, kind)
    mean_square = jnp.mean(stream**2, axis=-1, keepdims=True)
    expected = stream / jnp.sqrt(mean_square + 1e-4) * model.frozen["model.norm.weight"]
    # Twelve layers of float32 rounding, jitted against not.
    assert jnp.abs(found - expected).max() < 1e-4 * jnp.abs(expected).max()


def test_attention_of_one_token_is_its_value():
    """With one position the softmax is 1: o(v(x)), whatever q and k are."""
    config = tiny_config(num_layers=1)
    model, theta = random_model(config)
    attention = model._merged(theta).model.layers[0].self_attn
    kind = kind_of(config.layers[0], config.head_dim)
    x = jnp.asarray(np.random.default_rng(3).normal(size=(1, 12)), jnp.float32)
    value = attention.v_proj(x).reshape(2, 1, 4)
    shared = jnp.broadcast_to(value, (2, 2, 4)).reshape(1, 16)  # 2 query heads a pair
    expected = attention.o_proj(shared)
    assert jnp.abs(attention(x, kind) - expected).max() < 1e-5 * jnp.abs(expected).max()


SCALED = tiny_config(scaling=Llama3Scaling(8.0, 1.0, 4.0, 16))


@jax.jit
def extend(model, theta, tokens, cache, start):
    return model.extend(theta, tokens, cache, start)


@pytest.mark.slow
@pytest.mark.parametrize("config", [*CONFIGS.values(), SCALED])
def test_reading_in_parts_equals_reading_at_once(config):
    model, theta = random_model(config)
    tokens = draw_tokens(14)
    expected = hidden(model, theta, tokens)
    found, cache = extend(model, theta, tokens[:8], model.empty_cache(16), 0)
    parts = [found]
    for place in range(8, 14):
        one = tokens[place : place + 1]
        found, cache = extend(model, theta, one, cache, jnp.int32(place))
        parts.append(found)
    error = jnp.abs(jnp.concatenate(parts) - expected).max()
    assert error <= 1e-5 * jnp.abs(expected).max()


@pytest.mark.slow
def test_rows_of_different_lengths_write_over_their_padding():
    """Prompts of 3, 8 and 5 tokens padded to 8; then each goes on at its own place."""
    model, theta = random_model(SCALED)
    texts = jnp.stack([draw_tokens(12, seed) for seed in range(3)])
    lengths = jnp.array([3, 8, 5])
    rows = jax.jit(jax.vmap(model.extend, in_axes=(None, 0, 0, 0)))
    padded = jnp.where(jnp.arange(8) < lengths[:, None], texts[:, :8], 0)
    caches = jax.vmap(lambda _: model.empty_cache(12))(lengths)
    _, caches = rows(theta, padded, caches, jnp.zeros(3, jnp.int32))
    expected = [hidden(model, theta, text) for text in texts]
    for step in range(4):
        places = lengths + step
        tokens = jnp.take_along_axis(texts, places[:, None], axis=1)
        found, caches = rows(theta, tokens, caches, places)
        for row, place in enumerate(places.tolist()):
            error = jnp.abs(found[row, 0] - expected[row][place]).max()
            assert error <= 1e-5 * jnp.abs(expected[row][place]).max()


def test_a_cache_beyond_the_positions_is_refused():
    model, theta = random_model(tiny_config(max_positions=8, num_layers=1))
    with pytest.raises(InputError, match=r"9 tokens.*positions for 8.*max_length"):
        model.extend(theta, draw_tokens(2), model.empty_cache(9), 0)
