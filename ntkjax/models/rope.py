"""Rotary position embeddings in the half-rotation order of Hugging Face checkpoints.

Dimension i of a head is paired with dimension i + H/2 (not i + 1, as in the original
Llama release), and the pair is rotated by position × frequency_i.
"""

import math

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from ntkjax.devices.precision import at_least_float32
from ntkjax.models.config import DecoderConfig, Llama3Scaling


def frequencies(config: DecoderConfig) -> np.ndarray:
    """Angular frequencies [H/2], float64: θ^(-2i/H), scaled where the model asks."""
    exponents = np.arange(0, config.head_dim, 2, dtype=np.float64) / config.head_dim
    plain = config.rope_theta**-exponents
    if config.rope_scaling is None:
        return plain
    return _llama3(plain, config.rope_scaling)


def rotate(
    x: Float[Array, "T heads H"],
    freqs: Float[np.ndarray, " half"],
    start: Int[Array, ""] | int = 0,
) -> Float[Array, "T heads H"]:
    """The heads at positions start, start + 1, …, rotated. Angles are in float32."""
    wide = at_least_float32(x.dtype)
    positions = (start + jnp.arange(x.shape[0])).astype(wide)
    angles = positions[:, None] * jnp.asarray(freqs, wide)[None, :]
    cos, sin = jnp.cos(angles)[:, None, :], jnp.sin(angles)[:, None, :]
    first, second = jnp.split(x.astype(wide), 2, axis=-1)
    rotated = [first * cos - second * sin, second * cos + first * sin]
    return jnp.concatenate(rotated, axis=-1).astype(x.dtype)


def _llama3(plain: np.ndarray, scaling: Llama3Scaling) -> np.ndarray:
    wavelengths = 2 * math.pi / plain
    turns = scaling.original_max_positions / wavelengths
    span = scaling.high_freq_factor - scaling.low_freq_factor
    kept = np.clip((turns - scaling.low_freq_factor) / span, 0.0, 1.0)
    return kept * plain + (1 - kept) * plain / scaling.factor
