"""The small parts of a decoder: linear layers, norms, feed-forward, embedding.

Norms are computed in float32 at least; the LoRA update is float32 whatever the type of
the frozen weights (`ntkjax.models.lora` puts it in).
"""

import jax
import jax.numpy as jnp
from flax import nnx
from jax.ad_checkpoint import checkpoint_name
from jaxtyping import Array, Float, Int

from ntkjax.devices.precision import at_least_float32
from ntkjax.models.config import DecoderConfig
from ntkjax.models.low_rank import KEPT, low_rank


ACTIVATIONS = {
    "silu": jax.nn.silu,
    "gelu": lambda x: jax.nn.gelu(x, approximate=False),
    "gelu_pytorch_tanh": lambda x: jax.nn.gelu(x, approximate=True),
    "relu": jax.nn.relu,
}


class Linear(nnx.Module):
    """x ↦ x Wᵀ + b + scale · (x Aᵀ) Bᵀ; the last term only where LoRA was added."""

    def __init__(self, in_size: int, out_size: int, bias: bool, dtype):
        self.weight = nnx.Param(jnp.zeros((out_size, in_size), dtype))
        self.bias = nnx.Param(jnp.zeros((out_size,), dtype)) if bias else None
        self.lora_A: nnx.LoRAParam | None = nnx.data(None)
        self.lora_B: nnx.LoRAParam | None = nnx.data(None)
        self.lora_scale = 0.0

    def __call__(self, x: Float[Array, "T in"]) -> Float[Array, "T out"]:
        y = x @ self.weight[...].T
        if self.bias is not None:
            y = y + self.bias[...][None, :]
        if self.lora_A is not None and self.lora_B is not None:
            lora_a, lora_b = self.lora_A[...], self.lora_B[...]
            update = low_rank(x, lora_a, lora_b)
            y = y + (self.lora_scale * update).astype(y.dtype)
        return checkpoint_name(y, KEPT)


class RMSNorm(nnx.Module):
    """x ↦ w ⊙ x / √(mean x² + ε), over the last axis.

    With a unit offset it is (1 + w) ⊙ …, and that product too is float32 at least.
    """

    def __init__(self, size: int, eps: float, unit_offset: bool, dtype):
        self.weight = nnx.Param(jnp.zeros((size,), dtype))
        self.eps, self.unit_offset = eps, unit_offset

    def __call__(self, x: Float[Array, "*T d"]) -> Float[Array, "*T d"]:
        wide = x.astype(at_least_float32(x.dtype))
        mean_square = jnp.mean(wide * wide, axis=-1, keepdims=True)
        normed = wide * jax.lax.rsqrt(mean_square + self.eps)
        weight = jnp.expand_dims(self.weight[...], range(x.ndim - 1))
        if self.unit_offset:
            return ((1 + weight.astype(wide.dtype)) * normed).astype(x.dtype)
        return weight * normed.astype(x.dtype)


class MLP(nnx.Module):
    """Gated feed-forward layer: down(act(gate(x)) ⊙ up(x))."""

    def __init__(self, config: DecoderConfig, dtype):
        d, inner, bias = config.hidden_size, config.intermediate_size, config.mlp_bias
        self.gate_proj = Linear(d, inner, bias, dtype)
        self.up_proj = Linear(d, inner, bias, dtype)
        self.down_proj = Linear(inner, d, bias, dtype)
        self.activation = config.activation

    def __call__(self, x: Float[Array, "T d"]) -> Float[Array, "T d"]:
        gate = ACTIVATIONS[self.activation](self.gate_proj(x))
        return self.down_proj(gate * self.up_proj(x))


class Embedding(nnx.Module):
    """Rows of a table [V, d], times a factor that is rounded to their type."""

    def __init__(self, vocab_size: int, size: int, scale: float, dtype):
        self.weight = nnx.Param(jnp.zeros((vocab_size, size), dtype))
        self.scale = scale

    def __call__(self, tokens: Int[Array, " T"]) -> Float[Array, "T d"]:
        rows = self.weight[...][tokens]
        return rows if self.scale == 1 else rows * jnp.asarray(self.scale, rows.dtype)


def softcapped(x: Float[Array, "*shape"], cap: float | None) -> Float[Array, "*shape"]:
    """The function c · tanh(x / c), between -c and c; x itself without a cap."""
    return x if cap is None else cap * jnp.tanh(x / cap)
