"""Attention against loops over heads and positions, in float64."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from ntkjax.models.attention import Attention, kind_of
from ntkjax.models.config import LayerKind, Rotary, YarnScaling
from ntkjax.models.rope import amplitude, frequencies
from tests.problems import tiny_config


YARN = YarnScaling(4.0, 5.0, 0.1, 16, 1.2, False)
PLAIN = tiny_config(num_kv_heads=2)
CASES = {
    "plain": (PLAIN, LayerKind(Rotary(100.0))),
    "window": (PLAIN, LayerKind(Rotary(100.0), 3)),
    "no rotation": (PLAIN, LayerKind(None)),
    "yarn": (PLAIN, LayerKind(Rotary(100.0, YARN))),
    "everything": (
        dataclasses.replace(
            PLAIN,
            qkv_bias=True,
            output_bias=True,
            qk_norm=True,
            unit_offset=True,
            attention_scale=0.7,
            attention_softcap=1.5,
        ),
        LayerKind(Rotary(100.0), 4),
    ),
}


def random_attention(config) -> Attention:
    attention = Attention(config, jnp.float32)
    rng = np.random.default_rng(0)
    for name in ("q_proj", "k_proj", "v_proj", "o_proj"):
        linear = getattr(attention, name)
        for variable in (linear.weight, linear.bias):
            if variable is not None:
                drawn = 0.4 * rng.normal(size=variable[...].shape)
                variable[...] = jnp.asarray(drawn, jnp.float32)
    for norm in (attention.q_norm, attention.k_norm):
        if norm is not None:
            norm.weight[...] = jnp.asarray(rng.normal(size=4), jnp.float32)
    return attention


def apply(linear, x):
    y = np.asarray(linear.weight[...], np.float64) @ x
    return y if linear.bias is None else y + np.asarray(linear.bias[...], np.float64)


def rotated(head, position, kind):
    if kind.rotary is None:
        return head
    turn = np.exp(1j * position * frequencies(kind.rotary, head.size))
    pairs = (head[: head.size // 2] + 1j * head[head.size // 2 :]) * turn
    return amplitude(kind.rotary) * np.concatenate([pairs.real, pairs.imag])


def normed(norm, head, config):
    if norm is None:
        return head
    weight = np.asarray(norm.weight[...], np.float64) + config.unit_offset
    return weight * head / np.sqrt((head**2).mean() + config.norm_eps)


def slow_attention(attention, x, config, kind):
    H, heads = config.head_dim, config.num_heads
    shared = heads // config.num_kv_heads
    cut = lambda y, head: y[head * H : (head + 1) * H]
    q, k, v = (
        [apply(getattr(attention, f"{name}_proj"), row) for row in x] for name in "qkv"
    )
    scale = H**-0.5 if config.attention_scale is None else config.attention_scale
    outputs = []
    for t in range(len(x)):
        first = 0 if kind.window is None else max(0, t - kind.window + 1)
        mixed = []
        for head in range(heads):
            query = normed(attention.q_norm, cut(q[t], head), config)
            query = rotated(query, t, kind)
            scores = []
            for u in range(first, t + 1):
                key = normed(attention.k_norm, cut(k[u], head // shared), config)
                score = scale * query @ rotated(key, u, kind)
                cap = config.attention_softcap
                scores.append(score if cap is None else cap * np.tanh(score / cap))
            weights = np.exp(scores) / np.exp(scores).sum()
            values = [cut(v[u], head // shared) for u in range(first, t + 1)]
            mixed.append(weights @ np.array(values))
        outputs.append(apply(attention.o_proj, np.concatenate(mixed)))
    return np.array(outputs)


@pytest.mark.parametrize("name", CASES)
def test_equals_loops_over_heads_and_positions(name):
    config, kind = CASES[name]
    attention = random_attention(config)
    x = np.random.default_rng(1).normal(size=(9, config.hidden_size))
    found = np.asarray(attention(jnp.asarray(x, jnp.float32), kind_of(kind, 4)))
    expected = slow_attention(attention, x, config, kind)
    # float32 against float64
    assert np.abs(found - expected).max() < 1e-5 * np.abs(expected).max()


def test_a_window_that_covers_everything_is_none():
    x = jnp.asarray(np.random.default_rng(1).normal(size=(9, 12)), jnp.float32)
    config, kind = CASES["plain"]
    wide = dataclasses.replace(kind, window=9)
    attention = random_attention(config)
    found = [attention(x, kind_of(k, 4)) for k in (kind, wide)]
    assert (found[0] == found[1]).all()
