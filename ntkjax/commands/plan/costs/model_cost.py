"""What a model costs: its numbers, and the FLOPs of one example.

For one example of T tokens, with N the numbers in the frozen matrices of all layers, P
those of θ in them, and H the width of all heads of all layers together:

    matrices   2 T N
    θ          2 T P            x ↦ (x Aᵀ) Bᵀ
    attention  4 T² H           scores and mixtures, masked places included
    head       2 T d V

F without the head is the sum of the first three. What a derivative costs beyond F:

                       matrices   θ and attention
    JVP, per direction     1             2         both factors of a product move
    VJP, per output        1             2         frozen matrices get no gradient
    either, θ = all        2             2

Norms, rotations and activations are left out: some per cent.
"""

import math
from dataclasses import dataclass
from functools import cached_property

from ntkjax.errors import InputError
from ntkjax.models.config import DecoderConfig
from ntkjax.models.language_model import split_model
from ntkjax.models.lora import LoraSettings
from ntkjax.models.partitions import possible_cuts, weight_bytes_per_device


BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
"""Bytes of a number by type."""


@dataclass(frozen=True)
class ModelCost:
    """A model's sizes and FLOPs.

    Attributes:
        config: The architecture.
        lora: Where θ sits; None if θ is all weights.
        dtype: Type of frozen weights and activations.
    """

    config: DecoderConfig
    lora: LoraSettings | None
    dtype: str

    @property
    def bytes_each(self) -> int:
        """Bytes of a weight."""
        return BYTES[self.dtype]

    @cached_property
    def _sizes(self) -> tuple[dict[str, int], dict[str, int]]:
        """Numbers of every frozen weight, and of every part of θ."""
        _, theta, frozen = split_model(self.config, self.lora)
        sizes = lambda leaves: {n: math.prod(leaf.shape) for n, leaf in leaves.items()}
        return sizes(frozen), sizes(theta)

    @cached_property
    def num_weights(self) -> int:
        """All weights; a tied head counts once."""
        return sum(self._sizes[0].values())

    @cached_property
    def num_theta(self) -> int:
        """P, the numbers of θ."""
        return sum(self._sizes[1].values())

    @property
    def head_weights(self) -> int:
        """Weights of a head of its own, which hidden states do not need."""
        return self._sizes[0].get("lm_head.weight", 0)

    @cached_property
    def body_matrices(self) -> int:
        """N: numbers of the matrices of all layers."""
        return sum(
            size
            for name, size in self._sizes[0].items()
            if name.endswith("_proj.weight")
        )

    @property
    def _lora_matrices(self) -> int:
        """P in the layers; an adapter of the head is counted here as well."""
        return self.num_theta if self.lora is not None else 0

    @property
    def attention_width(self) -> int:
        """H: numbers in all heads of all layers."""
        config = self.config
        return len(config.layers) * config.num_heads * config.head_dim

    def divided_weights(self, model: int) -> float:
        """Weights on each of `model` devices that share them."""
        _, _, leaves = split_model(self.config, self.lora)
        shapes = {name: leaf.shape for name, leaf in leaves.items()}
        return float(weight_bytes_per_device(shapes, 1, model))

    def require_divisible(self, model: int) -> None:
        """Raises `InputError` unless `model` devices can hold equal parts."""
        if model not in possible_cuts(self.config, model):
            config = self.config
            raise InputError(
                f"model={model} does not divide {config.num_heads} heads, "
                f"{config.num_kv_heads} key/value heads, feed-forward layers of "
                f"{config.intermediate_size} and {config.vocab_size} tokens; choose "
                "another model=.",
                field="mesh",
            )

    def matrices(self, tokens: int) -> float:
        """FLOPs in the frozen matrices of the layers."""
        return 2.0 * tokens * self.body_matrices

    def adapter(self, tokens: int) -> float:
        """FLOPs of the adapter, in float32 whatever the type of weights."""
        return 2.0 * tokens * self._lora_matrices

    def attention(self, tokens: int) -> float:
        """FLOPs of scores and mixtures."""
        return 4.0 * tokens**2 * self.attention_width

    def head(self, tokens: int) -> float:
        """FLOPs of the logits of every position."""
        return 2.0 * tokens * self.config.hidden_size * self.config.vocab_size

    @property
    def tangent_factor(self) -> int:
        """What a derivative costs in the matrices, in passes over them."""
        return 1 if self.lora is not None else 2
