"""Causal attention of one example, with everything in which families differ.

Explicit attention scores, no fused kernel: derivatives of any order and the same
numbers on every backend. Softmax and rotations are computed in float32 at least.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from ntkjax.devices.precision import at_least_float32
from ntkjax.models import rope
from ntkjax.models.config import DecoderConfig, LayerKind
from ntkjax.models.modules import Linear, RMSNorm, softcapped


Place = Int[Array, ""] | int
"""A position, known when the program is compiled or not."""

_EVERYTHING = np.iinfo(np.int32).max


class Kind(NamedTuple):
    """What is computed with of a `LayerKind`; known when it is compiled or not.

    Attributes:
        freqs: Angular frequencies of the rotation, [H/2]; None for no rotation.
        amplitude: Factor of cosine and sine.
        window: How many positions a query sees; None for all.
    """

    freqs: Any
    amplitude: Any
    window: Any


def kind_of(layer: LayerKind, head_dim: int) -> Kind:
    """The numbers of a kind of layer."""
    if layer.rotary is None:
        return Kind(None, 1.0, layer.window)
    freqs = rope.frequencies(layer.rotary, head_dim)
    return Kind(freqs, rope.amplitude(layer.rotary), layer.window)


def kinds_of(layers: Sequence[LayerKind], head_dim: int) -> Kind:
    """The numbers of several kinds, each with a leading axis of layers.

    A layer without rotation turns by zero, and one without a window sees everything.
    """
    kinds = [kind_of(layer, head_dim) for layer in layers]
    freqs = [np.zeros(head_dim // 2) if k.freqs is None else k.freqs for k in kinds]
    windows = [_EVERYTHING if k.window is None else k.window for k in kinds]
    amplitudes = np.array([k.amplitude for k in kinds])
    return Kind(np.stack(freqs), amplitudes, np.array(windows, np.int32))


class Attention(nnx.Module):
    """Causal attention; K key/value heads serve K·G query heads."""

    def __init__(self, config: DecoderConfig, dtype):
        d, H = config.hidden_size, config.head_dim
        heads, kv_heads = config.num_heads, config.num_kv_heads
        bias = config.qkv_bias
        self.q_proj = Linear(d, heads * H, bias, dtype)
        self.k_proj = Linear(d, kv_heads * H, bias, dtype)
        self.v_proj = Linear(d, kv_heads * H, bias, dtype)
        self.o_proj = Linear(heads * H, d, config.output_bias, dtype)
        norm = partial(RMSNorm, H, config.norm_eps, config.unit_offset, dtype)
        self.q_norm = norm() if config.qk_norm else None
        self.k_norm = norm() if config.qk_norm else None
        self.head_dim, self.num_kv_heads = H, kv_heads
        scale = config.attention_scale
        self.scale = H**-0.5 if scale is None else scale
        self.softcap = config.attention_softcap

    def __call__(self, x: Float[Array, "T d"], kind: Kind) -> Float[Array, "T d"]:
        q, k, v = self._project(x, 0, kind)
        positions = jnp.arange(x.shape[0])
        return self._attend(q, k, v, _seen(positions, positions, kind))

    def extend(
        self,
        x: Float[Array, "T d"],
        kind: Kind,
        cache: tuple[Array, Array],
        start: Place,
    ) -> tuple[Float[Array, "T d"], tuple[Array, Array]]:
        """The same at positions start, start + 1, …, which also look at the cache."""
        q, *new = self._project(x, start, kind)
        k, v = (
            jax.lax.dynamic_update_slice_in_dim(before, now, start, axis=0)
            for before, now in zip(cache, new, strict=True)
        )
        seen = _seen(start + jnp.arange(x.shape[0]), jnp.arange(k.shape[0]), kind)
        return self._attend(q, k, v, seen), (k, v)

    def _project(
        self, x: Float[Array, "T d"], start: Place, kind: Kind
    ) -> tuple[Float[Array, "T K G H"], Float[Array, "T K H"], Float[Array, "T K H"]]:
        T, K, H = x.shape[0], self.num_kv_heads, self.head_dim
        q = self.q_proj(x).reshape(T, -1, H)
        k = self.k_proj(x).reshape(T, K, H)
        v = self.v_proj(x).reshape(T, K, H)
        if self.q_norm is not None and self.k_norm is not None:
            q, k = self.q_norm(q), self.k_norm(k)
        if kind.freqs is not None:
            q, k = (rope.rotate(h, kind.freqs, start, kind.amplitude) for h in (q, k))
        return q.reshape(T, K, -1, H), k, v

    def _attend(
        self,
        q: Float[Array, "T K G H"],
        k: Float[Array, "U K H"],
        v: Float[Array, "U K H"],
        seen: Bool[Array, "T U"],
    ) -> Float[Array, "T d"]:
        scores = jnp.einsum("tkgh,ukh->kgtu", q, k) * self.scale
        scores = softcapped(scores, self.softcap)
        scores = scores.astype(at_least_float32(q.dtype))
        scores = jnp.where(seen[None, None], scores, jnp.finfo(scores.dtype).min)
        attention = jax.nn.softmax(scores, axis=-1).astype(q.dtype)
        mixed = jnp.einsum("kgtu,ukh->tkgh", attention, v)
        return self.o_proj(mixed.reshape(q.shape[0], -1))


def _seen(
    queries: Int[Array, " T"], keys: Int[Array, " U"], kind: Kind
) -> Bool[Array, "T U"]:
    """Which positions of keys each position of a query looks at."""
    distance = queries[:, None] - keys[None, :]
    if kind.window is None:
        return distance >= 0
    window = jnp.asarray(kind.window, distance.dtype)
    return (distance >= 0) & (distance < window)
