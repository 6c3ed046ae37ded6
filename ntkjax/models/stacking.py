"""Frozen weights of all layers in one array for each matrix, and the graph that fits.

A deep model is run by a scan over its layers (`ntkjax.models.decoder.Scanned`), whose
weights lie side by side: `model.layers.*.mlp.up_proj.weight` [L, out, in] in place of L
matrices. θ keeps a leaf for each layer, in the names of the checkpoint.

A scan goes through consecutive layers of one structure. Frozen weights are the same in
all; LoRA may adapt some layers only, which makes several runs of layers.
"""

import re
from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import NamedTuple

import jax
from flax import nnx

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
