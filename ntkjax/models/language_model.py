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
from ntkjax.models.decoder import CausalLM
from ntkjax.models.lora import LoraSettings, add_lora


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

    def logits(self, theta, hidden: Float[Array, "T d"]) -> Float[Array, "T V"]:
        """The readout of hidden states, θ in the head included."""
        return self._merged(theta).logits(hidden)

    @property
    def head(self) -> Float[Array, "d V"]:
        """The frozen head W, or the embedding's transpose where the head is tied."""
        tied = self.config.tie_embeddings
        name = "model.embed_tokens.weight" if tied else "lm_head.weight"
        return self.frozen[name].T

    def astype(self, dtype) -> "LanguageModel":
        """The same model with weights and activations of another type."""
        frozen = {name: array.astype(dtype) for name, array in self.frozen.items()}
        return replace(self, frozen=frozen)

    def _merged(self, theta) -> CausalLM:
        leaves = {**self.frozen, **theta}
        paths = {_path(name): leaf for name, leaf in leaves.items()}
        return nnx.merge(self.graphdef, nnx.State.from_flat_path(paths))


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
    return graphdef, _by_name(theta), _by_name(frozen)


def _by_name(state: nnx.State) -> dict:
    flat = nnx.to_flat_state(state)
    return {
        ".".join(map(str, path)): jax.ShapeDtypeStruct(leaf.shape, leaf.dtype)
        for path, leaf in flat
    }


def _path(name: str) -> tuple:
    return tuple(int(part) if part.isdigit() else part for part in name.split("."))
