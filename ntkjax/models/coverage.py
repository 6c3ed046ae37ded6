"""Which modules carry θ, and how many parameters: a table for people."""

import math
from collections import Counter
from dataclasses import dataclass

from ntkjax.models.language_model import LanguageModel


@dataclass(frozen=True)
class Coverage:
    """One kind of module.

    Attributes:
        kind: Last part of the module names, such as `q_proj`.
        modules: How many the model has.
        adapted: How many of them carry θ.
        parameters: Parameters of θ in them.
    """

    kind: str
    modules: int
    adapted: int
    parameters: int


def coverage(model: LanguageModel) -> list[Coverage]:
    """One row for each kind of linear layer, adapted or not.

    Without LoRA also one for the embedding, and one for each kind of norm.
    """
    sizes: Counter[str] = Counter()
    for name, shape in model.theta_shapes.items():
        sizes[name.rpartition(".")[0]] += math.prod(shape)
    linear = [
        name.removesuffix(".weight")
        for name, shape in model.weight_shapes.items()
        if len(shape) == 2 and not name.endswith("embed_tokens.weight")
    ]
    modules = list(sizes) if model.lora is None else linear
    kinds = dict.fromkeys(module.rsplit(".", 1)[-1] for module in modules)
    rows = []
    for kind in kinds:
        own = [m for m in modules if m.rsplit(".", 1)[-1] == kind]
        adapted = [m for m in own if m in sizes]
        size = sum(sizes[m] for m in adapted)
        rows.append(Coverage(kind, len(own), len(adapted), size))
    return rows
