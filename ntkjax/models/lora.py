"""Low-rank adapters: which matrices carry θ, how they start, how they are scaled.

A linear layer W [out, in] becomes W + scale · B A with A [r, in], B [out, r] and

    scale = α / r        (PEFT's default; arXiv 2106.09685)
    scale = α / √r       (rsLoRA; arXiv 2312.03732)

A is drawn uniformly from ±1/√in, B is zero: at the start the model is unchanged and
∂f/∂A = 0, so that only gradients by B contribute to a kernel.

θ is a flat dict from names such as `model.layers.0.self_attn.q_proj.lora_A` to float32
matrices; the names are those of the Hugging Face modules.
"""

import re
import zlib
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array

from ntkjax.errors import InputError
from ntkjax.models.decoder import CausalLM
from ntkjax.models.modules import Linear
from ntkjax.rules import ABOVE_ZERO, COUNT, Rule, check


LAYER_MATRICES = (
    "q_proj",
    "k_proj",
    "v_proj",
    "o_proj",
    "gate_proj",
    "up_proj",
    "down_proj",
)


@dataclass(frozen=True)
class LoraSettings:
    """Rank, scaling and place of the adapter.

    Attributes:
        rank: Columns of B and rows of A.
        alpha: Numerator of the scale.
        targets: Module names (`q_proj`, matched as the end of a dotted path) or
            regular expressions (matched against the whole dotted path).
        rslora: Scale by α/√r in place of α/r.
    """

    rank: int = 8
    alpha: float = 16.0
    targets: tuple[str, ...] = LAYER_MATRICES
    rslora: bool = False

    @property
    def scale(self) -> float:
        """Factor of B A."""
        return self.alpha / (self.rank**0.5 if self.rslora else self.rank)


@runtime_checkable
class LoraValues(Protocol):
    """What `LoraSettings` and flags have in common; None where a flag is not given."""

    @property
    def rank(self) -> int | None: ...
    @property
    def alpha(self) -> float | None: ...
    @property
    def targets(self) -> tuple[str, ...] | None: ...


_RULES = {
    "rank": COUNT,
    "alpha": ABOVE_ZERO,
    "targets": Rule(bool, "at least one module"),
}


def check_lora(settings: LoraValues) -> None:
    """Raises `InputError` for a value that no adapter can have, whatever the model."""
    check(settings, _RULES, "lora.")
    for target in settings.targets or ():
        try:
            re.compile(target)
        except re.error as error:
            raise InputError(
                f"{target!r} is no regular expression: {error}.", field="lora.targets"
            ) from error


def matched_modules(names: list[str], targets: tuple[str, ...]) -> list[str]:
    """The module names, in order, that any target matches.

    Raises:
        InputError: If a target matches nothing.
    """
    hits: dict[str, set[str]] = {}
    for target in targets:
        hits[target] = {name for name in names if _matches(name, target)}
        if not hits[target]:
            kinds = sorted({name.rsplit(".", 1)[-1] for name in names})
            raise InputError(
                f"{target!r} matches no linear layer of this model; it has "
                f"{', '.join(kinds)} (a regular expression must match a whole name "
                f"such as {names[0]!r}).",
                field="lora.targets",
            )
    chosen = set().union(*hits.values())
    return [name for name in names if name in chosen]


def add_lora(model: CausalLM, settings: LoraSettings) -> None:
    """Puts zero-valued A and B into every target of `model`, in place."""
    check_lora(settings)
    linears = linear_modules(model)
    for name in matched_modules(list(linears), settings.targets):
        linear = linears[name]
        out_size, in_size = linear.weight.shape
        linear.lora_A = nnx.LoRAParam(jnp.zeros((settings.rank, in_size), jnp.float32))
        linear.lora_B = nnx.LoRAParam(jnp.zeros((out_size, settings.rank), jnp.float32))
        linear.lora_scale = settings.scale


def linear_modules(model: CausalLM) -> dict[str, Linear]:
    """Linear layers by dotted name, in the order of the forward pass."""
    found = {}
    for index, layer in enumerate(model.model.layers):
        for part in ("self_attn", "mlp"):
            # NNX may give the attributes back in alphabetical order.
            modules = vars(getattr(layer, part))
            for name in filter(modules.__contains__, LAYER_MATRICES):
                found[f"model.layers.{index}.{part}.{name}"] = modules[name]
    if model.lm_head is not None:
        found["lm_head"] = model.lm_head
    return found


def initial_theta(shapes: dict[str, tuple[int, ...]], key: Array) -> dict[str, Array]:
    """θ at the start. Each A depends on the key and its own name alone."""

    def draw(name: str, shape: tuple[int, ...]) -> Array:
        if name.endswith("lora_B"):
            return jnp.zeros(shape, jnp.float32)
        own_key = jax.random.fold_in(key, zlib.crc32(name.encode()))
        bound = shape[1] ** -0.5
        return jax.random.uniform(own_key, shape, jnp.float32, -bound, bound)

    return {name: draw(name, shape) for name, shape in shapes.items()}


def _matches(name: str, target: str) -> bool:
    if name == target or name.endswith("." + target):
        return True
    return re.fullmatch(target, name) is not None
