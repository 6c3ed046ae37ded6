"""The decoder, for one example: tokens [T] to final hidden states [T, d].

Notable:
- The module tree *is* the tree of the Hugging Face checkpoint: attribute names and
  weight layouts ([out, in]) are those of the file, so that no conversion table is
  needed.
- One example, no batch axis: batching is `jax.vmap` by the caller.
- Causal attention and padding on the right: a real token never sees a padded one, so
  no padding mask is needed, and what stands after the last token cannot matter.
- Softmax, norms and rotations are computed in float32 at least; the LoRA update is
  float32 whatever the type of the frozen weights (`ntkjax.models.lora` puts it in).
- Explicit attention scores, no fused kernel: derivatives of any order and the same
  numbers on every backend.
- `extend` is the forward pass continued: it reads some tokens more after those whose
  keys and values lie in a cache of fixed length. Places of the cache after the newest
  token are not looked at, so that what stands there (padding of a prompt, say) is
  overwritten when its turn comes.
"""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from ntkjax.devices.precision import at_least_float32
from ntkjax.errors import InputError
from ntkjax.models import rope
from ntkjax.models.config import DecoderConfig


Cache = tuple[tuple[Array, Array], ...]
"""Keys and values of every layer, each [U, K, H] for U places."""

Place = Int[Array, ""] | int

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
            update = (x.astype(lora_a.dtype) @ lora_a.T) @ lora_b.T
            y = y + (self.lora_scale * update).astype(y.dtype)
        return y


class RMSNorm(nnx.Module):
    """x ↦ w ⊙ x / √(mean x² + ε)."""

    def __init__(self, size: int, eps: float, dtype):
        self.weight = nnx.Param(jnp.zeros((size,), dtype))
        self.eps = eps

    def __call__(self, x: Float[Array, "T d"]) -> Float[Array, "T d"]:
        wide = x.astype(at_least_float32(x.dtype))
        mean_square = jnp.mean(wide * wide, axis=-1, keepdims=True)
        normed = wide * jax.lax.rsqrt(mean_square + self.eps)
        return self.weight[...][None, :] * normed.astype(x.dtype)


class Attention(nnx.Module):
    """Causal attention; K key/value heads serve K·G query heads."""

    def __init__(self, config: DecoderConfig, dtype):
        d, H = config.hidden_size, config.head_dim
        heads, kv_heads = config.num_heads, config.num_kv_heads
        bias = config.attention_bias
        self.q_proj = Linear(d, heads * H, bias, dtype)
        self.k_proj = Linear(d, kv_heads * H, bias, dtype)
        self.v_proj = Linear(d, kv_heads * H, bias, dtype)
        self.o_proj = Linear(heads * H, d, bias, dtype)
        self.head_dim, self.num_kv_heads = H, kv_heads
        self.frequencies = tuple(rope.frequencies(config).tolist())

    def __call__(self, x: Float[Array, "T d"]) -> Float[Array, "T d"]:
        T = x.shape[0]
        q, k, v = self._project(x, 0)
        return self._attend(q, k, v, jnp.tril(jnp.ones((T, T), dtype=bool)))

    def extend(
        self, x: Float[Array, "T d"], cache: tuple[Array, Array], start: Place
    ) -> tuple[Float[Array, "T d"], tuple[Array, Array]]:
        """The same at positions start, start + 1, …, which also look at the cache."""
        q, *new = self._project(x, start)
        k, v = (
            jax.lax.dynamic_update_slice_in_dim(before, now, start, axis=0)
            for before, now in zip(cache, new, strict=True)
        )
        positions = start + jnp.arange(x.shape[0])
        seen = jnp.arange(k.shape[0])[None, :] <= positions[:, None]
        return self._attend(q, k, v, seen), (k, v)

    def _project(
        self, x: Float[Array, "T d"], start: Place
    ) -> tuple[Float[Array, "T K G H"], Float[Array, "T K H"], Float[Array, "T K H"]]:
        T, K, H = x.shape[0], self.num_kv_heads, self.head_dim
        freqs = np.array(self.frequencies)
        q = rope.rotate(self.q_proj(x).reshape(T, -1, H), freqs, start)
        k = rope.rotate(self.k_proj(x).reshape(T, K, H), freqs, start)
        v = self.v_proj(x).reshape(T, K, H)
        return q.reshape(T, K, -1, H), k, v

    def _attend(
        self,
        q: Float[Array, "T K G H"],
        k: Float[Array, "U K H"],
        v: Float[Array, "U K H"],
        seen: Bool[Array, "T U"],
    ) -> Float[Array, "T d"]:
        scores = jnp.einsum("tkgh,ukh->kgtu", q, k) * self.head_dim**-0.5
        scores = scores.astype(at_least_float32(q.dtype))
        scores = jnp.where(seen[None, None], scores, jnp.finfo(scores.dtype).min)
        attention = jax.nn.softmax(scores, axis=-1).astype(q.dtype)
        mixed = jnp.einsum("kgtu,ukh->tkgh", attention, v)
        return self.o_proj(mixed.reshape(q.shape[0], -1))


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


class Layer(nnx.Module):
    """Attention and feed-forward, each behind a norm and added to the stream."""

    def __init__(self, config: DecoderConfig, dtype):
        d, eps = config.hidden_size, config.norm_eps
        self.input_layernorm = RMSNorm(d, eps, dtype)
        self.self_attn = Attention(config, dtype)
        self.post_attention_layernorm = RMSNorm(d, eps, dtype)
        self.mlp = MLP(config, dtype)

    def __call__(self, x: Float[Array, "T d"]) -> Float[Array, "T d"]:
        x = x + self.self_attn(self.input_layernorm(x))
        return x + self.mlp(self.post_attention_layernorm(x))

    def extend(
        self, x: Float[Array, "T d"], cache: tuple[Array, Array], start: Place
    ) -> tuple[Float[Array, "T d"], tuple[Array, Array]]:
        """The same, after the positions whose keys and values are cached."""
        mixed, cache = self.self_attn.extend(self.input_layernorm(x), cache, start)
        x = x + mixed
        return x + self.mlp(self.post_attention_layernorm(x)), cache


class Embedding(nnx.Module):
    """Rows of a table [V, d]."""

    def __init__(self, vocab_size: int, size: int, dtype):
        self.weight = nnx.Param(jnp.zeros((vocab_size, size), dtype))

    def __call__(self, tokens: Int[Array, " T"]) -> Float[Array, "T d"]:
        return self.weight[...][tokens]


class Decoder(nnx.Module):
    """Embedding, layers, final norm."""

    def __init__(self, config: DecoderConfig, dtype):
        self.embed_tokens = Embedding(config.vocab_size, config.hidden_size, dtype)
        self.layers = nnx.List([Layer(config, dtype) for _ in range(config.num_layers)])
        self.norm = RMSNorm(config.hidden_size, config.norm_eps, dtype)
        self.max_positions = config.max_positions

    def __call__(self, tokens: Int[Array, " T"]) -> Float[Array, "T d"]:
        self._require_positions(tokens.shape[0])
        x = self.embed_tokens(tokens)
        for layer in self.layers:
            x = layer(x)
        return self.norm(x)

    def extend(
        self, tokens: Int[Array, " T"], cache: Cache, start: Place
    ) -> tuple[Float[Array, "T d"], Cache]:
        """The same, after the positions whose keys and values are cached."""
        self._require_positions(cache[0][0].shape[0])
        x = self.embed_tokens(tokens)
        extended = []
        for layer, keys_and_values in zip(self.layers, cache, strict=True):
            x, keys_and_values = layer.extend(x, keys_and_values, start)
            extended.append(keys_and_values)
        return self.norm(x), tuple(extended)

    def _require_positions(self, number: int) -> None:
        if number > self.max_positions:
            raise InputError(
                f"{number} tokens, but the model has positions for "
                f"{self.max_positions}: choose a smaller --max-length."
            )


class CausalLM(nnx.Module):
    """A decoder and its head.

    Weights start at zero: they are filled from a checkpoint or, in tests, at random.

    Args:
        config: The architecture.
        dtype: Type of weights and activations.
    """

    def __init__(self, config: DecoderConfig, dtype=jnp.float32):
        d, V = config.hidden_size, config.vocab_size
        self.model = Decoder(config, dtype)
        tied = config.tie_embeddings
        self.lm_head = nnx.data(None) if tied else Linear(d, V, False, dtype)

    def hidden(self, tokens: Int[Array, " T"]) -> Float[Array, "T d"]:
        """Final hidden states h_t, after the last norm."""
        return self.model(tokens)

    def extend(
        self, tokens: Int[Array, " T"], cache: Cache, start: Place
    ) -> tuple[Float[Array, "T d"], Cache]:
        """Final hidden states of further tokens, and the cache with them in it."""
        return self.model.extend(tokens, cache, start)

    def logits(self, hidden: Float[Array, "T d"]) -> Float[Array, "T V"]:
        """The readout Wᵀ h_t; a tied head reads with the embedding."""
        if self.lm_head is None:
            return hidden @ self.model.embed_tokens.weight[...].T
        return self.lm_head(hidden)
