"""Which matrices carry θ, and how many parameters: a table for people."""

from dataclasses import dataclass

from ntkjax.models.language_model import LanguageModel


@dataclass(frozen=True)
class Coverage:
    """One kind of linear layer.

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
    """One row for each kind of linear layer, adapted or not."""
    shapes = model.theta_shapes
    modules = [
        name.removesuffix(".weight")
        for name, weight in model.frozen.items()
        if weight.ndim == 2 and not name.endswith("embed_tokens.weight")
    ]
    kinds = dict.fromkeys(module.rsplit(".", 1)[-1] for module in modules)
    rows = []
    for kind in kinds:
        own = [m for m in modules if m.rsplit(".", 1)[-1] == kind]
        pairs = [(shapes.get(f"{m}.lora_A"), shapes.get(f"{m}.lora_B")) for m in own]
        adapted = [(a, b) for a, b in pairs if a and b]
        size = sum(a[0] * a[1] + b[0] * b[1] for a, b in adapted)
        rows.append(Coverage(kind, len(own), len(adapted), size))
    return rows
