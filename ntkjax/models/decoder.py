"""The decoder, for one example: tokens [T] to final hidden states [T, d].

Notable:
- One decoder for all families: what differs is a field of `DecoderConfig`.
- The module tree *is* the tree of the Hugging Face checkpoint: attribute names and
  weight layouts ([out, in]) are those of the file, so that no conversion table is
  needed.
- One example, no batch axis: batching is `jax.vmap` by the caller.
- Causal attention and padding on the right: a real token never sees a padded one, so
  no padding mask is needed, and what stands after the last token cannot matter.
- `extend` is the forward pass continued: it reads some tokens more after those whose
  keys and values lie in a cache of fixed length. Places of the cache after the newest
  token are not looked at, so that what stands there (padding of a prompt, say) is
  overwritten when its turn comes.
"""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int

from ntkjax.errors import InputError, setting
from ntkjax.models.attention import Attention, Kind, Place, kind_of, kinds_of
from ntkjax.models.config import DecoderConfig, LayerKind
from ntkjax.models.low_rank import KEPT
from ntkjax.models.modules import MLP, Embedding, Linear, RMSNorm, softcapped


Cache = tuple[tuple[Array, Array], ...]
"""Keys and values of every layer, each [U, K, H] for U places; [n, U, K, H] for n
layers that are scanned."""


class Layer(nnx.Module):
    """Attention and feed-forward, each behind a norm and added to the stream.

    With `post_norms` (Gemma 2 and 3) what is added is normed as well. Then, in the
    names of Hugging Face, `post_attention_layernorm` stands behind attention; otherwise
    it stands before the feed-forward layer.
    """

    def __init__(self, config: DecoderConfig, dtype):
        norm = partial(
            RMSNorm, config.hidden_size, config.norm_eps, config.unit_offset, dtype
        )
        self.input_layernorm = norm()
        self.self_attn = Attention(config, dtype)
        self.post_attention_layernorm = norm()
        self.pre_feedforward_layernorm = norm() if config.post_norms else None
        self.mlp = MLP(config, dtype)
        self.post_feedforward_layernorm = norm() if config.post_norms else None

    def __call__(self, x: Float[Array, "T d"], kind: Kind) -> Float[Array, "T d"]:
        return self._rest(x, self.self_attn(self.input_layernorm(x), kind))

    def extend(
        self,
        x: Float[Array, "T d"],
        kind: Kind,
        cache: tuple[Array, Array],
        start: Place,
    ) -> tuple[Float[Array, "T d"], tuple[Array, Array]]:
        """The same, after the positions whose keys and values are cached."""
        normed = self.input_layernorm(x)
        mixed, cache = self.self_attn.extend(normed, kind, cache, start)
        return self._rest(x, mixed), cache

    def _rest(
        self, x: Float[Array, "T d"], mixed: Float[Array, "T d"]
    ) -> Float[Array, "T d"]:
        """The layer's output, from the stream and what attention made of it."""
        before, after = self.pre_feedforward_layernorm, self.post_feedforward_layernorm
        if before is None or after is None:
            x = x + mixed
            return x + self.mlp(self.post_attention_layernorm(x))
        x = x + self.post_attention_layernorm(mixed)
        return x + after(self.mlp(before(x)))


class Scanned(nnx.Module):
    """Layers of one structure behind each other, run by one program for all of them.

    What is compiled does not grow with their number. For a backward pass each keeps
    its input and the outputs of its linear layers; norms, activations and attention
    are computed again from these. Weights are never kept a second time.

    Args:
        layers: A `Layer` whose weights have a leading axis [n].
    """

    def __init__(self, layers: Layer):
        self.layers = layers

    def __call__(self, x: Float[Array, "T d"], kind: Kind) -> Float[Array, "T d"]:
        return self._scan(lambda layer, *x: (layer(*x), None), x, kind)[0]

    def extend(
        self,
        x: Float[Array, "T d"],
        kind: Kind,
        cache: tuple[Array, Array],
        start: Place,
    ) -> tuple[Float[Array, "T d"], tuple[Array, Array]]:
        """The same, after the positions whose keys and values are cached."""
        return self._scan(lambda layer, *x: layer.extend(*x, start), x, kind, cache)

    def _scan(self, apply: Callable, x: Float[Array, "T d"], kind: Kind, *each):
        """`apply(layer, x, kind, *each)` of every layer; one kind may serve all."""
        graphdef, weights = nnx.split(self.layers)
        differ = np.ndim(kind.amplitude) == 1

        def through(x, parts):
            weights, own, *each = parts
            layer = nnx.merge(graphdef, weights)
            return apply(layer, x, own if differ else kind, *each)

        policy = jax.checkpoint_policies.save_only_these_names(KEPT)
        through = jax.checkpoint(through, prevent_cse=False, policy=policy)
        return jax.lax.scan(through, x, (weights, kind if differ else None, *each))


class Decoder(nnx.Module):
    """Embedding, layers, final norm.

    Attributes:
        layers: Each a `Layer`, or several that are `Scanned`.
        kinds: The kind of each, or of all that it scans, or a tuple of kinds.
    """

    def __init__(self, config: DecoderConfig, dtype):
        sizes = config.vocab_size, config.hidden_size
        self.embed_tokens = Embedding(*sizes, config.embedding_scale, dtype)
        self.layers = nnx.List([Layer(config, dtype) for _ in config.layers])
        self.kinds: tuple[LayerKind | tuple[LayerKind, ...], ...] = config.layers
        self.head_dim = config.head_dim
        self.norm = RMSNorm(
            config.hidden_size, config.norm_eps, config.unit_offset, dtype
        )
        self.max_positions = config.max_positions

    def __call__(self, tokens: Int[Array, " T"]) -> Float[Array, "T d"]:
        self._require_positions(tokens.shape[0])
        x = self.embed_tokens(tokens)
        for layer, kind in zip(self.layers, self._kinds(), strict=True):
            x = layer(x, kind)
        return self.norm(x)

    def extend(
        self, tokens: Int[Array, " T"], cache: Cache, start: Place
    ) -> tuple[Float[Array, "T d"], Cache]:
        """The same, after the positions whose keys and values are cached."""
        self._require_positions(cache[0][0].shape[-3])
        x = self.embed_tokens(tokens)
        extended = []
        for layer, kind, before in zip(self.layers, self._kinds(), cache, strict=True):
            x, after = layer.extend(x, kind, before, start)
            extended.append(after)
        return self.norm(x), tuple(extended)

    def _kinds(self) -> list[Kind]:
        return [
            kinds_of(kind, self.head_dim)
            if isinstance(kind, tuple)
            else kind_of(kind, self.head_dim)
            for kind in self.kinds
        ]

    def _require_positions(self, number: int) -> None:
        if number > self.max_positions:
            raise InputError(
                f"{number} tokens, but the model has positions for "
                f"{self.max_positions}: choose a smaller {setting('max_length')}."
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
        self.final_softcap = config.final_softcap

    def hidden(self, tokens: Int[Array, " T"]) -> Float[Array, "T d"]:
        """Final hidden states h_t, after the last norm."""
        return self.model(tokens)

    def extend(
        self, tokens: Int[Array, " T"], cache: Cache, start: Place
    ) -> tuple[Float[Array, "T d"], Cache]:
        """Final hidden states of further tokens, and the cache with them in it."""
        return self.model.extend(tokens, cache, start)

    def logits(self, hidden: Float[Array, "T d"]) -> Float[Array, "T V"]:
        """The readout Wᵀ h_t, soft-capped where the model asks for it.

        A tied head reads with the embedding.
        """
        if self.lm_head is None:
            logits = hidden @ self.model.embed_tokens.weight[...].T
        else:
            logits = self.lm_head(hidden)
        return softcapped(logits, self.final_softcap)
