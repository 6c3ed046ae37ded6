"""What a method found, as labels with values, and as tables where there are rows.

Facts that are not known here are shown by their names, so that none is lost.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ntkjax.reports.numbers import score_text, whole_text
from ntkjax.selection.methods.table import METHODS
from ntkjax.selection.result import SelectionResult


NOTHING = "–"


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


def method_facts(result: SelectionResult) -> list[tuple[str, str]]:
    """Labels and values, those with known labels first."""
    items, labels = _flat(result.method_facts), _labels(result)
    return [
        (labels.get(name, name), _text(items[name]))
        for name in _ordered(items, labels)
        if not _is_table(items[name])
    ]


def method_tables(result: SelectionResult) -> list[Table]:
    """Facts that are lists of records.

    Of `rounds` only more than one is a table: the facts beside it hold the last one's
    numbers.
    """
    items, labels = _flat(result.method_facts), _labels(result)
    names = [name for name in _ordered(items, labels) if _is_table(items[name])]
    return [
        _table(name, items[name], labels)
        for name in names
        if name != "rounds" or len(items[name]) > 1
    ]


def _labels(result: SelectionResult) -> Mapping[str, str]:
    """Those of the method, by key, in the order in which they are shown."""
    return METHODS[result.method].words.labels


def _table(name: str, records: list[dict], labels: Mapping[str, str]) -> Table:
    columns = list(dict.fromkeys(key for record in records for key in record))
    # Without what follows a comma, which a narrow column has no room for.
    header = tuple(labels.get(key, key).partition(",")[0] for key in columns)
    rows = tuple(tuple(_text(r.get(key)) for key in columns) for r in records)
    return Table(labels.get(name, name), header, rows)


def _flat(facts: dict, prefix: str = "") -> dict[str, Any]:
    """Nested facts by dotted names."""
    found: dict[str, Any] = {}
    for key, value in facts.items():
        name = f"{prefix}{key}"
        found |= _flat(value, f"{name}.") if isinstance(value, dict) else {name: value}
    return found


def _ordered(items: dict[str, Any], labels: Mapping[str, str]) -> list[str]:
    known = [name for name in labels if name in items]
    return known + [name for name in items if name not in labels]


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
