"""Weights of all layers in one array for each matrix, and the graph that fits.

A deep model is run by a scan over its layers (`ntkjax.models.decoder.Scanned`), whose
weights lie side by side: `model.layers.*.mlp.up_proj.weight` [L, out, in] in place of L
matrices. θ has a leaf for each layer, in the names of the checkpoint; programs are
given an adapter side by side, too, or they would be compiled for hundreds of arrays.

A scan goes through consecutive layers of one structure. Frozen weights are the same in
all; LoRA may adapt some layers only, which makes several runs of layers.
"""

import re
from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Shaped

from ntkjax.models.config import DecoderConfig
from ntkjax.models.decoder import CausalLM


STACKED_FROM = 9
"""Layers of a model that is scanned; a shallower one is compiled layer by layer.

On CPUs a scan copies each layer's weights before it multiplies by them, and up to about
eight layers it compiles no faster.
"""

_LAYER = re.compile(r"model\.layers\.(\d+)\.(.+)")


class Run(NamedTuple):
    """Consecutive layers of one structure.

    Attributes:
        first: The first of them.
        stop: The one after the last.
        graphdef: NNX's static half of each.
        names: Names of a layer's leaves, such as `mlp.up_proj.weight`.
    """

    first: int
    stop: int
    graphdef: nnx.GraphDef
    names: tuple[str, ...]


def split_name(name: str) -> tuple[int, str] | None:
    """Number of the layer and name in it; None for what is in no layer.

    >>> split_name("model.layers.3.mlp.up_proj.weight")
    (3, 'mlp.up_proj.weight')
    """
    found = _LAYER.fullmatch(name)
    return None if found is None else (int(found[1]), found[2])


def stack_name(name: str) -> str:
    """Name of the array in which the leaf of a layer lies.

    >>> stack_name("model.layers.3.mlp.up_proj.weight")
    'model.layers.*.mlp.up_proj.weight'
    """
    return _LAYER.sub(r"model.layers.*.\2", name)


def stacked_members(names: Iterable[str]) -> dict[str, list[str]]:
    """Names of checkpoint tensors by the array in which they lie, in layer order."""
    members: dict[str, list[str]] = {}
    for name in sorted(names, key=lambda name: split_name(name) or (-1, name)):
        members.setdefault(stack_name(name), []).append(name)
    return members


def held_members(config: DecoderConfig, names: Iterable[str]) -> dict[str, list[str]]:
    """The same as a model of this depth holds them: each by itself if it is shallow."""
    if len(config.layers) >= STACKED_FROM:
        return stacked_members(names)
    return {name: [name] for name in names}


def held_shapes(
    config: DecoderConfig, shapes: Mapping[str, jax.ShapeDtypeStruct]
) -> dict[str, jax.ShapeDtypeStruct]:
    """Shapes and types of the arrays that hold checkpoint tensors of these."""
    found = {}
    for name, members in held_members(config, shapes).items():
        leaf = shapes[members[0]]
        several = () if name in shapes else (len(members),)
        found[name] = jax.ShapeDtypeStruct((*several, *leaf.shape), leaf.dtype)
    return found


def stack_layers(tree: Any) -> Any:
    """A pytree with every adapter of a deep model in one array for each matrix.

    An adapter is a dict of LoRA's matrices by name, each [..., m, n]; what is made of
    them is [..., L, m, n], of the first L layers or all. It stays as it is where it
    adapts others, or not all of them alike.
    """

    def stacked(part: Any) -> Any:
        if not _is_deep_adapter(part):
            return part
        return {
            stack: _stack([part[name] for name in names])
            if "*" in stack
            else part[stack]
            for stack, names in stacked_members(part).items()
        }

    return jax.tree.map(stacked, tree, is_leaf=_is_deep_adapter)


def unstack_layers(tree: Any) -> Any:
    """The inverse of `stack_layers`."""

    def split(part: Any) -> Any:
        if not _is_stacked(part):
            return part
        found = {}
        for stack, leaf in part.items():
            if "*" not in stack:
                found[stack] = leaf
                continue
            for index in range(leaf.shape[-3]):
                found[stack.replace("*", str(index))] = leaf[..., index, :, :]
        return found

    return jax.tree.map(split, tree, is_leaf=_is_stacked)


def in_tree_order(theta: Any) -> Any:
    """An adapter, or a gradient by it, as arrays that flatten as its layers' would.

    Leaves of a dict are in the order of their names, and so layer 10 comes before
    layer 2.
    """
    if not _is_stacked(theta):
        return theta
    names = sorted(theta)
    stacks = [theta[name] for name in names if "*" in name]
    size = len(stacks[0])
    order = np.array(sorted(range(size), key=str))
    layers = jnp.concatenate([leaf.reshape(size, -1) for leaf in stacks], axis=1)
    first = [theta[name] for name in names if "*" not in name and name < _LAYERS]
    last = [theta[name] for name in names if "*" not in name and name > _LAYERS]
    return [*first, layers[order], *last]


_LAYERS = "model.layers."


def _is_deep_adapter(part: Any) -> bool:
    """Whether it is an adapter of many layers, and all have the same leaves."""
    if not isinstance(part, dict) or not all(
        isinstance(name, str) and name.endswith((".lora_A", ".lora_B")) for name in part
    ):
        return False
    layers = [place[0] for place in map(split_name, part) if place is not None]
    depth = max(layers, default=-1) + 1
    members = stacked_members(part)
    sizes = {len(names) for stack, names in members.items() if "*" in stack}
    return depth >= STACKED_FROM and sizes == {depth}


def _is_stacked(part: Any) -> bool:
    return isinstance(part, dict) and any("*" in str(name) for name in part)


def _stack(
    leaves: list[Shaped[Array | np.ndarray, "..."]],
) -> Shaped[Array | np.ndarray, "..."]:
    on_host = all(isinstance(leaf, np.ndarray) for leaf in leaves)
    stack = np.stack if on_host else jnp.stack
    return stack(leaves, axis=leaves[0].ndim - 2)


def runs_of(model: CausalLM) -> list[Run]:
    """The runs of an abstract model's layers."""
    parts = [nnx.split(layer) for layer in model.model.layers]
    names = [
        tuple(".".join(map(str, path)) for path, _ in nnx.to_flat_state(state))
        for _, state in parts
    ]
    runs = []
    for own, members in groupby(range(len(parts)), key=lambda index: names[index]):
        first, *rest = members
        runs.append(Run(first, first + 1 + len(rest), parts[first][0], own))
    return runs
