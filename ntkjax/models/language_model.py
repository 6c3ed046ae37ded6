"""A language model as a pure function of θ: the one place where NNX is taken apart.

`LanguageModel` is a pytree: its frozen weights travel through `jax.jit` as arguments,
never as constants of the compiled program, and everything else is static.

θ is a LoRA adapter, or, without LoRA, all weights in float32: they stand in place of
the frozen ones of the same names, and are cast to their type.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache, partial

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int

from ntkjax.models.attention import Place
from ntkjax.models.config import DecoderConfig
from ntkjax.models.decoder import Cache, CausalLM, Scanned
from ntkjax.models.lora import LAYER_MATRICES, LoraSettings, add_lora, linear_modules
from ntkjax.models.stacking import (
    Run,
    runs_of,
    split_name,
    stack_name,
    stacked_members,
    unstack_layers,
)


_FORWARD = (
    "embed_tokens",
    "input_layernorm",
    *LAYER_MATRICES[:3],  # queries, keys, values
    "q_norm",
    "k_norm",
    LAYER_MATRICES[3],  # what attention adds
    "post_attention_layernorm",
    "pre_feedforward_layernorm",
    *LAYER_MATRICES[4:],  # feed-forward
    "post_feedforward_layernorm",
    "norm",
    "lm_head",
)
"""Modules in the order in which the forward pass comes to them."""


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
        lora: Where θ sits and how it is scaled; None if θ is all weights.
        graphdef: NNX's static half of the module.
        frozen: Weights by Hugging Face name, or, of a deep model, those of all layers
            in one array each (`ntkjax.models.stacking`).
    """

    config: DecoderConfig
    lora: LoraSettings | None
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
        shape = length, config.num_kv_heads, config.head_dim
        if not self.is_stacked:
            empty = jnp.zeros(shape, dtype)
            return ((empty, empty),) * len(config.layers)
        sizes = [run.stop - run.first for run in self._stacked_graph()[1]]
        each = [jnp.zeros((size, *shape), dtype) for size in sizes]
        return tuple((empty, empty) for empty in each)

    @property
    def is_stacked(self) -> bool:
        """Whether the layers' weights lie side by side and are scanned."""
        return any("*" in name for name in self.frozen)

    def weight(self, name: str) -> Array:
        """A frozen weight by its name in the checkpoint; of a stack it is a copy."""
        if name in self.frozen:
            return self.frozen[name]
        place = split_name(name)
        if place is None:
            raise KeyError(name)
        return self.frozen[stack_name(name)][place[0]]

    @property
    def weight_shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes of the frozen weights by their names in the checkpoint."""
        found = {}
        for name, leaf in self.frozen.items():
            if "*" in name:
                for index in range(len(leaf)):
                    found[name.replace("*", str(index))] = leaf.shape[1:]
            else:
                found[name] = leaf.shape
        return found

    def stacked(self) -> "LanguageModel":
        """The same model with its layers' weights side by side. Cost: a copy."""
        frozen = {
            stack: jnp.stack([self.frozen[name] for name in members])
            if split_name(members[0])
            else self.frozen[stack]
            for stack, members in stacked_members(self.frozen).items()
        }
        return replace(self, frozen=frozen)

    def logits(self, theta, hidden: Float[Array, "T d"]) -> Float[Array, "T V"]:
        """The readout of hidden states, θ in the head included."""
        return self._merged(theta).logits(hidden)

    @property
    def head(self) -> Float[Array, "d V"]:
        """The frozen head W, or the embedding's transpose where the head is tied."""
        tied = self.config.tie_embeddings
        name = "model.embed_tokens.weight" if tied else "lm_head.weight"
        return self.frozen[name].T

    def trains_head(self, theta) -> bool:
        """Whether θ has a leaf in the head."""
        return _in_head(self.config, theta)

    @property
    def theta_shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes of θ by name, in the order of the forward pass."""
        _, theta, _ = split_model(self.config, self.lora)
        return {name: leaf.shape for name, leaf in theta.items()}

    @property
    def head_obstacle(self) -> str | None:
        """As the function `head_obstacle`."""
        return head_obstacle(self.config, self.lora)

    def astype(self, dtype) -> "LanguageModel":
        """The same model with weights and activations of another type."""
        frozen = {name: array.astype(dtype) for name, array in self.frozen.items()}
        return replace(self, frozen=frozen)

    def _merged(self, theta) -> CausalLM:
        if self.is_stacked:
            return self._merged_stacks(theta)
        theta = unstack_layers(theta)
        own = {
            name: leaf.astype(self.frozen[name].dtype) if name in self.frozen else leaf
            for name, leaf in theta.items()
        }
        return nnx.merge(self.graphdef, _state({**self.frozen, **own}))

    def _merged_stacks(self, theta) -> CausalLM:
        """The same with a `Scanned` for each run of layers."""
        graphdef, runs = self._stacked_graph()
        outer = {name: leaf for name, leaf in self.frozen.items() if "*" not in name}
        for name, leaf in theta.items():
            if split_name(name) is None and "*" not in name:
                dtype = outer[name].dtype if name in outer else leaf.dtype
                outer[name] = leaf.astype(dtype)
        model = nnx.merge(graphdef, _state(outer))
        layers = [
            Scanned(
                nnx.merge(
                    run.graphdef,
                    _state({name: self._stack(theta, name, run) for name in run.names}),
                )
            )
            for run in runs
        ]
        model.model.layers = nnx.List(layers)
        kinds = [self.config.layers[run.first : run.stop] for run in runs]
        model.model.kinds = tuple(k if len(set(k)) > 1 else k[0] for k in kinds)
        return model

    def _stack(self, theta, name: str, run: Run) -> Array:
        """One leaf of all layers of a run, with what θ has of it in place."""
        together = f"model.layers.*.{name}"
        if together in theta:
            return theta[together][run.first : run.stop]
        stack = self.frozen.get(together)
        members = [f"model.layers.{i}.{name}" for i in range(run.first, run.stop)]
        if not any(member in theta for member in members):
            assert stack is not None
            return stack if len(stack) == len(members) else stack[run.first : run.stop]
        if stack is None:
            return jnp.stack([theta[member] for member in members])
        own = [
            theta[member].astype(stack.dtype) if member in theta else stack[index]
            for index, member in enumerate(members, run.first)
        ]
        return jnp.stack(own)

    def _stacked_graph(self) -> tuple[nnx.GraphDef, tuple[Run, ...]]:
        return _split_stacked(self.config, self.lora, _has_float64())


def head_obstacle(config: DecoderConfig, lora: LoraSettings | None) -> str | None:
    """Why logits are not Wᵀh with a frozen W; None if they are.

    Only then can probes live in R^d. No weights are needed to say so.

    Raises:
        InputError: If a target of LoRA matches nothing.
    """
    _, theta, _ = split_model(config, lora)
    if config.final_softcap is not None:
        return "the model soft-caps its logits"
    if _in_head(config, theta):
        return "θ has a leaf in the head (LoRA adapts lm_head)"
    return None


def _in_head(config: DecoderConfig, names: Iterable[str]) -> bool:
    """Whether one of these is a leaf of the head."""
    module = "model.embed_tokens" if config.tie_embeddings else "lm_head"
    return any(name.startswith(f"{module}.") for name in names)


def split_model(
    config: DecoderConfig, lora: LoraSettings | None, dtype=jnp.float32
) -> tuple[nnx.GraphDef, dict, dict]:
    """Graph, abstract θ and abstract frozen weights (shapes and types by name).

    Without LoRA θ has the names of all weights. Nothing is allocated. Cost: a trace of
    the model's construction, the first time.
    """
    graphdef, theta, frozen = _split(config, lora, np.dtype(dtype), _has_float64())
    return graphdef, dict(theta), dict(frozen)


def _has_float64() -> bool:
    return jax.dtypes.canonicalize_dtype(np.float64) == np.float64


@lru_cache(maxsize=128)
def _split(
    config: DecoderConfig, lora: LoraSettings | None, dtype: np.dtype, float64: bool
) -> tuple[nnx.GraphDef, dict, dict]:
    """`split_model`; what a type is depends on whether float64 is allowed."""
    abstract = nnx.eval_shape(lambda: _build(config, lora, dtype))
    graphdef, theta, frozen = nnx.split(abstract, nnx.LoRAParam, ...)
    theta, frozen = _by_name(theta), _by_name(frozen)
    if lora is None:
        ordered = {
            name: jax.ShapeDtypeStruct(frozen[name].shape, jnp.float32)
            for name in sorted(frozen, key=_place)
        }
        return graphdef, ordered, frozen
    modules = list(linear_modules(abstract))
    theta_names = [f"{m}.lora_{x}" for m in modules for x in "AB"]
    ordered = {name: theta[name] for name in theta_names if name in theta}
    return graphdef, ordered, frozen


@lru_cache(maxsize=128)
def _split_stacked(
    config: DecoderConfig, lora: LoraSettings | None, float64: bool
) -> tuple[nnx.GraphDef, tuple[Run, ...]]:
    """Graph of a model without its layers, and the runs of these."""
    model = nnx.eval_shape(lambda: _build(config, lora, np.dtype(np.float32)))
    runs = tuple(runs_of(model))
    model.model.layers = nnx.List([])
    return nnx.split(model)[0], runs


def _build(config: DecoderConfig, lora: LoraSettings | None, dtype) -> CausalLM:
    model = CausalLM(config, dtype)
    if lora is not None:
        add_lora(model, lora)
    return model


def _place(name: str) -> tuple[float, int, bool]:
    """Where a weight comes in the forward pass: layer, module, bias after weight."""
    *path, kind = name.split(".")
    if "layers" in path:
        layer = float(path[2])
    else:
        layer = -1.0 if path[-1] == "embed_tokens" else math.inf
    return layer, _FORWARD.index(path[-1]), kind == "bias"


def _by_name(state: nnx.State) -> dict:
    flat = nnx.to_flat_state(state)
    return {
        ".".join(map(str, path)): jax.ShapeDtypeStruct(leaf.shape, leaf.dtype)
        for path, leaf in flat
    }


def _state(leaves: dict) -> nnx.State:
    flat = [(_path(name), leaf) for name, leaf in sorted(leaves.items())]
    return nnx.from_flat_state(flat)


def _path(name: str) -> tuple:
    return tuple(int(part) if part.isdigit() else part for part in name.split("."))
