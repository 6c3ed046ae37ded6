"""Rotary position embeddings in the half-rotation order of Hugging Face checkpoints.

Dimension i of a head is paired with dimension i + H/2 (not i + 1, as in the original
Llama release), and the pair is rotated by position × frequency_i.
"""

import math

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from ntkjax.devices.precision import at_least_float32
from ntkjax.models.config import LinearScaling, Llama3Scaling, Rotary, YarnScaling


def frequencies(rotary: Rotary, head_dim: int) -> np.ndarray:
    """Angular frequencies [H/2], float64: θ^(-2i/H), scaled where the model asks."""
    exponents = np.arange(0, head_dim, 2, dtype=np.float64) / head_dim
    plain = rotary.theta**-exponents
    match rotary.scaling:
        case LinearScaling(factor):
            return plain / factor
        case Llama3Scaling():
            return _llama3(plain, rotary.scaling)
        case YarnScaling():
            return _yarn(plain, rotary.theta, rotary.scaling)
    return plain


def amplitude(rotary: Rotary) -> float:
    """Factor of cosine and sine."""
    scaling = rotary.scaling
    return scaling.attention_factor if isinstance(scaling, YarnScaling) else 1.0


def rotate(
    x: Float[Array, "T heads H"],
    freqs: Float[np.ndarray, " half"] | Float[Array, " half"],
    start: Int[Array, ""] | int = 0,
    amplitude: Float[Array, ""] | float = 1.0,
) -> Float[Array, "T heads H"]:
    """The heads at positions start, start + 1, …, rotated. Angles are in float32."""
    wide = at_least_float32(x.dtype)
    positions = (start + jnp.arange(x.shape[0])).astype(wide)
    angles = positions[:, None] * jnp.asarray(freqs, wide)[None, :]
    factor = jnp.asarray(amplitude, wide)
    cos, sin = (factor * f(angles)[:, None, :] for f in (jnp.cos, jnp.sin))
    first, second = jnp.split(x.astype(wide), 2, axis=-1)
    rotated = [first * cos - second * sin, second * cos + first * sin]
    return jnp.concatenate(rotated, axis=-1).astype(x.dtype)


def _llama3(plain: np.ndarray, scaling: Llama3Scaling) -> np.ndarray:
    wavelengths = 2 * math.pi / plain
    turns = scaling.original_max_positions / wavelengths
    span = scaling.high_freq_factor - scaling.low_freq_factor
    kept = np.clip((turns - scaling.low_freq_factor) / span, 0.0, 1.0)
    return kept * plain + (1 - kept) * plain / scaling.factor


def _yarn(plain: np.ndarray, theta: float, scaling: YarnScaling) -> np.ndarray:
    half = plain.size

    def dimension(turns: float) -> float:
        """The (fractional) pair that turns so often in the original positions."""
        wavelength = scaling.original_max_positions / turns
        return half * math.log(wavelength / (2 * math.pi)) / math.log(theta)

    low, high = dimension(scaling.beta_fast), dimension(scaling.beta_slow)
    if scaling.truncate:
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, 2 * half - 1)
    width = high - low if high != low else 1e-3  # as transformers: no division by zero
    stretched = np.clip((np.arange(half) - low) / width, 0.0, 1.0)
    return (1 - stretched) * plain + stretched * plain / scaling.factor
