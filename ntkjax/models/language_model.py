"""A language model as a pure function of θ: the one place where NNX is taken apart.

`LanguageModel` is a pytree: its frozen weights travel through `jax.jit` as arguments,
never as constants of the compiled program, and everything else is static.
"""

from dataclasses import dataclass, replace
from functools import partial

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from ntkjax.models.config import DecoderConfig
from ntkjax.models.decoder import Cache, CausalLM, Place
from ntkjax.models.lora import LoraSettings, add_lora, linear_modules


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["frozen"],
    meta_fields=["config", "lora", "graphdef"],
)
@dataclass(frozen=True)
class LanguageModel:
    """Frozen weights and the graph that θ completes to a model.

    Attributes:
        config: The architecture.
        lora: Where θ sits and how it is scaled.
        graphdef: NNX's static half of the module.
        frozen: Weights by Hugging Face name.
    """

    config: DecoderConfig
    lora: LoraSettings
    graphdef: nnx.GraphDef
    frozen: dict[str, Array]

    def hidden(self, theta, tokens: Int[Array, " T"]) -> Float[Array, "T d"]:
        """Final hidden states of one example. Cost: F."""
        return self._merged(theta).hidden(tokens)

    def extend(
        self, theta, tokens: Int[Array, " T"], cache: Cache, start: Place
    ) -> tuple[Float[Array, "T d"], Cache]:
        """Hidden states of tokens that follow on the first `start` ones of a text.

        Cost: F for these tokens alone, and attention over the whole cache.

        Args:
            theta: Parameters.
            tokens: The text's tokens at positions start, start + 1, …
            cache: Keys and values of the tokens before, from `empty_cache` or the last
                call. It must have places for all of `tokens`; places after them are
                not looked at.
            start: Position of the first of `tokens`.

        Returns:
            Final hidden states of `tokens`, and the cache with their keys and values.
        """
        return self._merged(theta).extend(tokens, cache, start)

    def empty_cache(self, length: int) -> Cache:
        """Room for the keys and values of `length` tokens of one example."""
        config = self.config
        dtype = self.frozen["model.embed_tokens.weight"].dtype
        empty = jnp.zeros((length, config.num_kv_heads, config.head_dim), dtype)
        return ((empty, empty),) * config.num_layers

    def logits(self, theta, hidden: Float[Array, "T d"]) -> Float[Array, "T V"]:
        """The readout of hidden states, θ in the head included."""
        return self._merged(theta).logits(hidden)

    @property
    def head(self) -> Float[Array, "d V"]:
        """The frozen head W, or the embedding's transpose where the head is tied."""
        tied = self.config.tie_embeddings
        name = "model.embed_tokens.weight" if tied else "lm_head.weight"
        return self.frozen[name].T

    @property
    def theta_shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes of θ by name, in the order of the forward pass."""
        _, theta, _ = split_model(self.config, self.lora)
        return {name: leaf.shape for name, leaf in theta.items()}

    @property
    def head_is_linear(self) -> bool:
        """Whether logits are Wᵀh with a frozen W, so that probes can live in R^d."""
        return not any(name.startswith("lm_head") for name in self.theta_shapes)

    def astype(self, dtype) -> "LanguageModel":
        """The same model with weights and activations of another type."""
        frozen = {name: array.astype(dtype) for name, array in self.frozen.items()}
        return replace(self, frozen=frozen)

    def _merged(self, theta) -> CausalLM:
        leaves = {**self.frozen, **theta}
        flat = [(_path(name), leaf) for name, leaf in sorted(leaves.items())]
        return nnx.merge(self.graphdef, nnx.from_flat_state(flat))


def split_model(
    config: DecoderConfig, lora: LoraSettings, dtype=jnp.float32
) -> tuple[nnx.GraphDef, dict, dict]:
    """Graph, abstract θ and abstract frozen weights (shapes and types by name).

    Nothing is allocated.
    """

    def build() -> CausalLM:
        model = CausalLM(config, dtype)
        add_lora(model, lora)
        return model

    abstract = nnx.eval_shape(build)
    graphdef, theta, frozen = nnx.split(abstract, nnx.LoRAParam, ...)
    modules = list(linear_modules(abstract))
    theta_names = [f"{m}.lora_{x}" for m in modules for x in "AB"]
    theta, frozen = _by_name(theta), _by_name(frozen)
    ordered = {name: theta[name] for name in theta_names if name in theta}
    return graphdef, ordered, frozen


def _by_name(state: nnx.State) -> dict:
    flat = nnx.to_flat_state(state)
    return {
        ".".join(map(str, path)): jax.ShapeDtypeStruct(leaf.shape, leaf.dtype)
        for path, leaf in flat
    }


def _path(name: str) -> tuple:
    return tuple(int(part) if part.isdigit() else part for part in name.split("."))
