"""Groups of parameters: elements, rows, matrices, modules, kinds of modules, layers.

A row runs along the last axis of its array, and a vector is one row. A module is one
place in the model: A and B of one adapted matrix, or a weight and its bias. A kind has
the modules of the same name in all layers. Parameters outside the layers are layers by
themselves: embed, norms, head.
"""

import math
import re
from collections import Counter
from collections.abc import Mapping

import numpy as np
from jaxtyping import Int64


_LAYER = re.compile(r"(?:^|\.)layers\.(\d+)\.")
_KINDS = {"embed_tokens": "embed", "lm_head": "head"}

Shape = tuple[int, ...]


def group_ids(shapes: Mapping[str, Shape], granularity: str) -> Int64[np.ndarray, " P"]:
    """The group of each parameter, numbered in the order in which they appear."""
    labels: dict[str, int] = {}
    count, parts = 0, []
    for name, shape in shapes.items():
        size = math.prod(shape)
        if granularity in ("element", "row"):
            width = _width(shape, granularity)
            parts.append(count + np.arange(size) // width)
            count += size // width
        else:
            label = _label(name, granularity)
            parts.append(np.full(size, labels.setdefault(label, len(labels))))
    return np.concatenate(parts).astype(np.int64)


def smallest_group(shapes: Mapping[str, Shape], granularity: str) -> int:
    """Parameters of the smallest group. Cost: none for each parameter.

    >>> smallest_group({"layers.0.q_proj.lora_A": (2, 8), "norm.weight": (8,)}, "row")
    8
    """
    sizes: Counter[str] = Counter()
    for name, shape in shapes.items():
        if granularity in ("element", "row"):
            sizes[name] = _width(shape, granularity)
        else:
            sizes[_label(name, granularity)] += math.prod(shape)
    return min(sizes.values())


def layer_of(name: str) -> str | None:
    """The number of a parameter's layer; None outside the layers.

    >>> layer_of("model.layers.3.mlp.up_proj.lora_A")
    '3'
    """
    found = _LAYER.search(name)
    return found and found[1]


def module_of(name: str) -> str:
    """The module that a parameter belongs to.

    >>> module_of("model.layers.3.mlp.up_proj.lora_A")
    'model.layers.3.mlp.up_proj'
    """
    return name.rpartition(".")[0] or name


def kind_of(name: str) -> str:
    """The kind of module that a parameter belongs to.

    >>> kind_of("model.layers.3.mlp.up_proj.lora_A"), kind_of("model.norm.weight")
    ('up_proj', 'norms')
    """
    module = module_of(name).rpartition(".")[2]
    return "norms" if "norm" in module else _KINDS.get(module, module)


def quota_kind_of(name: str) -> str:
    """The kind of projection, or `other` for embeddings, norms and heads."""
    kind = kind_of(name)
    return kind if kind.endswith("_proj") else "other"


def _width(shape: Shape, granularity: str) -> int:
    """Parameters of an element or of a row."""
    return 1 if granularity == "element" or not shape else shape[-1]


def _label(name: str, granularity: str) -> str:
    """The name of a parameter's matrix, module, kind of module or layer."""
    if granularity == "matrix":
        return name
    if granularity == "module":
        return module_of(name)
    layer = layer_of(name) if granularity == "layer" else None
    return layer or kind_of(name)
