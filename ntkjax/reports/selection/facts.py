"""What a method found, as labels with values, and as tables where there are rows.

Facts that are not known here are shown by their names, so that none is lost.
"""

from dataclasses import dataclass
from typing import Any

from ntkjax.reports.numbers import (
    error_text,
    percent_text,
    score_text,
    whole_text,
)
from ntkjax.selection.result import SelectionResult


NOTHING = "–"

LABELS = {
    "kernel": "kernel",
    "probes": "probes: gradients per example",
    "readout": "where kernels act: through a linear head, or why on the logits",
    "padded_rows": "padded rows of the head left out",
    "order": "order of both sides",
    "validation_examples": "validation examples",
    "num_chosen": "examples chosen",
    "mask_parameters": "parameters that the mask keeps",
    "num_parameters": "parameters in all",
    "I1": "I1, predicted fall to first order",
    "I2": "I2, predicted fall to second order",
    "completeness.rows": "mean of the examples' scores",
    "completeness.columns": "sum of û⊙Ḡ over the parameters",
    "completeness.difference": "difference of these two",
    "first_order_norm": "length of v, the first-order term",
    "second_order_norm": "length of κ c⊙Ḡ, the second-order term",
    "second_to_first": "second-order term over first-order term",
    "new_gradient_norm": "length of the validation gradient",
    "prior_gradient_norm": "length of the divergence gradient",
    "mean_gradient_norm": "length of Ḡ, the candidates' mean gradient",
    "lambda_new": "λ of the validation gradient",
    "lambda_prior": "λ of the divergence gradient",
    "kappa": "κ",
    "curvature": "curvature c",
    "anchors": "anchors of the divergence",
    "mean_confidence": "mean confidence in the anchors",
    "checkpoints": "checkpoints of the warm-up",
    "learning_rate_weights": "weights of the checkpoints",
    "gradient.kind": "a candidate's gradient",
    "gradient.epsilon_inside_root": "ε inside the root of the Adam update",
    "gradient.bias_correction": "bias correction of Adam's moments",
    "sketch.kind": "sketch",
    "sketch.size": "numbers in a sketch",
    "pooling": "tokens that an embedding averages",
    "neighbors": "neighbors that a target example votes for",
    "queries": "queries that take turns",
    "num_queries": "number of queries",
    "buckets": "hash buckets",
    "sample": "drawn in proportion to the weights",
    "log_weight_mean": "mean log weight",
    "log_weight_std": "standard deviation of the log weights",
    "target_gradient_norm": "length of the target's mean gradient",
    "zero_gradients": "candidates whose gradient is zero",
    "fisher_examples": "candidates in the Fisher diagonal",
    "damping": "damping, in units of the diagonal's mean",
    "mean_loss": "mean loss of the candidates",
    "edges": "last length of each bin, in tokens",
    "target_mean_tokens": "mean tokens of the target",
    "candidates_mean_tokens": "mean tokens of the candidates",
    "rounds": "Both sides in turn, round by round",
    "round": "round",
    "jaccard_data": "Jaccard of the examples",
    "jaccard_parameters": "Jaccard of the parameters",
}
"""Labels by key, in the order in which they are shown."""


@dataclass(frozen=True)
class Table:
    """Facts that come in rows.

    Attributes:
        title: What they are.
        header: Labels of the columns.
        rows: Values as text.
    """

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def method_finding(result: SelectionResult) -> str | None:
    """What the facts come to, in words; None where there is nothing to add."""
    if result.method != "dualsft":
        return None
    facts = result.method_facts
    kept, total = facts["mask_parameters"], facts["num_parameters"]
    mask = f"No mask of the {whole_text(total)} parameters was asked for."
    if kept is not None:
        mask = (
            f"The mask keeps {whole_text(kept)} of {whole_text(total)} parameters "
            f"({percent_text(kept / total)})."
        )
    ratio = facts["second_to_first"]
    if not facts["kappa"] or ratio is None:
        return mask
    return (
        f"{mask} The second-order term is {error_text(ratio)} times as long as the "
        "first-order one."
    )


def method_facts(result: SelectionResult) -> list[tuple[str, str]]:
    """Labels and values, those with known labels first."""
    items = _flat(result.method_facts)
    return [
        (LABELS.get(name, name), _text(items[name]))
        for name in _ordered(items)
        if not _is_table(items[name])
    ]


def method_tables(result: SelectionResult) -> list[Table]:
    """Facts that are lists of records.

    Of `rounds` only more than one is a table: the facts beside it hold the last one's
    numbers.
    """
    items = _flat(result.method_facts)
    names = [name for name in _ordered(items) if _is_table(items[name])]
    return [
        _table(LABELS.get(name, name), items[name])
        for name in names
        if name != "rounds" or len(items[name]) > 1
    ]


def _table(title: str, records: list[dict]) -> Table:
    columns = list(dict.fromkeys(key for record in records for key in record))
    header = tuple(_column_label(key) for key in columns)
    rows = tuple(tuple(_text(r.get(key)) for key in columns) for r in records)
    return Table(title, header, rows)


def _column_label(key: str) -> str:
    """The label without what follows a comma, which a narrow column has no room for."""
    return LABELS.get(key, key).partition(",")[0]


def _flat(facts: dict, prefix: str = "") -> dict[str, Any]:
    """Nested facts by dotted names."""
    found: dict[str, Any] = {}
    for key, value in facts.items():
        name = f"{prefix}{key}"
        found |= _flat(value, f"{name}.") if isinstance(value, dict) else {name: value}
    return found


def _ordered(items: dict[str, Any]) -> list[str]:
    known = [name for name in LABELS if name in items]
    return known + [name for name in items if name not in LABELS]


def _is_table(value: Any) -> bool:
    is_full = isinstance(value, list) and len(value) > 0
    return is_full and all(isinstance(each, dict) for each in value)


def _text(value: Any) -> str:
    if value is None:
        return NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return whole_text(value)
    if isinstance(value, float):
        return score_text(value)
    if isinstance(value, list):
        return ", ".join(map(_text, value)) or NOTHING
    return str(value)
