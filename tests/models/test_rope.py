import dataclasses
import math

import jax.numpy as jnp
import numpy as np
import pytest

from ntkjax.models import rope
from ntkjax.models.config import LinearScaling, Llama3Scaling, Rotary, YarnScaling


LLAMA3 = Llama3Scaling(
    factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_positions=128
)
PLAIN = Rotary(10_000.0)
SCALED = Rotary(10_000.0, LLAMA3)
YARN = YarnScaling(
    factor=4.0,
    beta_fast=32.0,
    beta_slow=1.0,
    original_max_positions=2048,
    attention_factor=1.25,
    truncate=True,
)


def slow_llama3(theta, head_dim, scaling: Llama3Scaling) -> list[float]:
    """The rule of Llama 3.1, one frequency at a time."""
    result = []
    for i in range(head_dim // 2):
        frequency = theta ** (-2 * i / head_dim)
        wavelength = 2 * math.pi / frequency
        longest = scaling.original_max_positions / scaling.low_freq_factor
        shortest = scaling.original_max_positions / scaling.high_freq_factor
        if wavelength > longest:
            frequency = frequency / scaling.factor
        elif wavelength > shortest:
            turns = scaling.original_max_positions / wavelength
            smooth = (turns - scaling.low_freq_factor) / (
                scaling.high_freq_factor - scaling.low_freq_factor
            )
            frequency = (1 - smooth) * frequency / scaling.factor + smooth * frequency
        result.append(frequency)
    return result


def test_plain_frequencies():
    expected = [10_000.0 ** (-2 * i / 16) for i in range(8)]
    np.testing.assert_allclose(rope.frequencies(PLAIN, 16), expected, rtol=1e-14)


@pytest.mark.parametrize("length", [16, 128, 8192])
def test_llama3_frequencies(length):
    scaling = dataclasses.replace(LLAMA3, original_max_positions=length)
    expected = slow_llama3(10_000.0, 16, scaling)
    found = rope.frequencies(Rotary(10_000.0, scaling), 16)
    np.testing.assert_allclose(found, expected, rtol=1e-14)


def test_llama3_keeps_stretches_and_interpolates():
    ratio = rope.frequencies(SCALED, 16) / rope.frequencies(PLAIN, 16)
    assert ratio[0] == 1
    assert ratio[-1] == 1 / 8
    assert ((ratio > 1 / 8) & (ratio < 1)).any()


def slow_rotation(x, freqs):
    """Pairs (i, i + H/2) as complex numbers, times e^{i·position·frequency}."""
    half = x.shape[-1] // 2
    pairs = x[..., :half] + 1j * x[..., half:]
    turned = pairs * np.exp(1j * np.arange(len(x))[:, None, None] * freqs)
    return np.concatenate([turned.real, turned.imag], axis=-1)


def slow_yarn(theta, head_dim, scaling: YarnScaling) -> list[float]:
    """YaRN's rule, one frequency at a time (arXiv 2309.00071, section 3.2)."""

    def border(turns):
        """The dimension that turns so often: θ^(2i/H) = L / (2π·turns)."""
        ratio = scaling.original_max_positions / (2 * math.pi * turns)
        return head_dim * math.log(ratio) / (2 * math.log(theta))

    low, high = border(scaling.beta_fast), border(scaling.beta_slow)
    if scaling.truncate:
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, head_dim - 1)
    result = []
    for i in range(head_dim // 2):
        frequency = theta ** (-2 * i / head_dim)
        share = min(max((i - low) / (high - low), 0.0), 1.0)
        result.append((1 - share) * frequency + share * frequency / scaling.factor)
    return result


@pytest.mark.parametrize(
    "changes",
    [{}, {"truncate": False}, {"beta_fast": 8.0}, {"beta_slow": 0.01}, {"factor": 1.0}],
)
def test_yarn_frequencies(changes):
    scaling = dataclasses.replace(YARN, **changes)
    found = rope.frequencies(Rotary(10_000.0, scaling), 64)
    expected = slow_yarn(10_000.0, 64, scaling)
    np.testing.assert_allclose(found, expected, rtol=1e-13)


def test_yarn_keeps_stretches_and_interpolates():
    found = rope.frequencies(Rotary(10_000.0, YARN), 64)
    ratio = found / rope.frequencies(PLAIN, 64)
    assert ratio[0] == 1
    assert ratio[-1] == 1 / 4
    assert ((ratio > 1 / 4) & (ratio < 1)).any()


def test_yarn_with_equal_borders_divides_by_no_zero():
    scaling = dataclasses.replace(YARN, beta_fast=1.0, truncate=False)
    assert np.isfinite(rope.frequencies(Rotary(10_000.0, scaling), 64)).all()


def test_linear_frequencies():
    found = rope.frequencies(Rotary(10_000.0, LinearScaling(8.0)), 16)
    assert (found == rope.frequencies(PLAIN, 16) / 8).all()


def test_amplitude_is_that_of_yarn():
    assert rope.amplitude(PLAIN) == rope.amplitude(SCALED) == 1
    assert rope.amplitude(Rotary(10_000.0, YARN)) == 1.25
    x = jnp.asarray(np.random.default_rng(0).normal(size=(4, 3, 16)), jnp.float32)
    freqs = rope.frequencies(PLAIN, 16)
    longer = rope.rotate(x, freqs, 0, 1.25)
    np.testing.assert_allclose(longer, 1.25 * rope.rotate(x, freqs), rtol=1e-5)


@pytest.mark.parametrize("rotary", [PLAIN, SCALED], ids=["plain", "llama3"])
def test_rotation(rotary):
    freqs = rope.frequencies(rotary, 16)
    x = np.random.default_rng(0).normal(size=(40, 3, 16)).astype(np.float32)
    found = np.asarray(rope.rotate(jnp.asarray(x), freqs))
    # Angles up to 39 in float32: an error of 39 · 2^-24 beside that of the products.
    np.testing.assert_allclose(found, slow_rotation(x, freqs), atol=2e-5)
    norms = [np.linalg.norm(array, axis=-1) for array in (found, x)]
    np.testing.assert_allclose(*norms, rtol=1e-6)
    assert (found[0] == x[0]).all()  # position 0 is not turned


def test_dot_products_depend_on_relative_positions_alone():
    freqs = rope.frequencies(PLAIN, 16)
    q, k = np.random.default_rng(1).normal(size=(2, 16)).astype(np.float32)
    everywhere = lambda v: rope.rotate(jnp.tile(jnp.asarray(v), (30, 1, 1)), freqs)[
        :, 0
    ]
    scores = np.asarray(everywhere(q) @ everywhere(k).T)
    for distance in range(-10, 11):
        diagonal = np.diagonal(scores, distance)
        # float32 angles up to 30, norms of about 4
        np.testing.assert_allclose(diagonal, diagonal[0], atol=5e-5)
    assert np.ptp(scores[0]) > 0.1 * np.abs(scores).max()  # but they do depend on it


def test_bfloat16_heads_are_turned_in_float32():
    freqs = rope.frequencies(PLAIN, 16)
    x = jnp.asarray(np.random.default_rng(2).normal(size=(300, 1, 16)), jnp.bfloat16)
    found = rope.rotate(x, freqs)
    assert found.dtype == jnp.bfloat16
    # Position 299 does not exist in bfloat16: its angle would be off by a whole radian.
    expected = slow_rotation(np.asarray(x, np.float64), freqs)
    np.testing.assert_allclose(np.asarray(found, np.float64), expected, atol=2e-2)


def test_rotation_may_start_at_any_position():
    freqs = rope.frequencies(PLAIN, 16)
    x = jnp.asarray(np.random.default_rng(2).normal(size=(9, 2, 16)), jnp.float32)
    whole = rope.rotate(x, freqs)
    assert (rope.rotate(x[4:], freqs, 4) == whole[4:]).all()
    assert (rope.rotate(x[4:], freqs, jnp.int32(4)) == whole[4:]).all()
