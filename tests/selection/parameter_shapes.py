"""Shapes of parameters of an adapter and of a whole model, and groups by name."""

import numpy as np


SHAPES = {
    f"model.layers.{layer}.{module}.lora_{part}": shape
    for layer in range(3)
    for module, shapes in (
        ("self_attn.q_proj", {"A": (2, 4), "B": (4, 2)}),
        ("mlp.down_proj", {"A": (2, 6), "B": (4, 2)}),
    )
    for part, shape in shapes.items()
}
FULL = {
    "model.embed_tokens.weight": (5, 4),
    "model.layers.0.input_layernorm.weight": (4,),
    "model.layers.0.self_attn.q_proj.weight": (4, 4),
    "model.layers.1.self_attn.q_proj.weight": (4, 4),
    "model.norm.weight": (4,),
    "lm_head.weight": (5, 4),
}


def slow_label(name, index, granularity):
    """The group of one parameter, from what the words say."""
    words = name.split(".")
    kind = {"embed_tokens": "embed", "lm_head": "head"}.get(words[-2], words[-2])
    kind = "norms" if "norm" in kind else kind
    layer = words[2] if "layers" in words else kind
    return {
        "row": (name, index[0] if len(index) > 1 else 0),
        "matrix": name,
        "module": tuple(words[:-1]),
        "kind": kind,
        "layer": layer,
    }[granularity]


def slow_groups(shapes, granularity):
    """Names and indices of parameters by group, in the order of names."""
    groups = {}
    for name in sorted(shapes):
        for index in np.ndindex(shapes[name]):
            label = slow_label(name, index, granularity)
            groups.setdefault(label, []).append((name, index))
    return groups
