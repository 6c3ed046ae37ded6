import pytest

from ntkjax.reports.selection.facts import (
    LABELS,
    method_facts,
    method_finding,
    method_tables,
)
from ntkjax.selection.methods.table import METHODS
from tests.reports.selection.methods import FACTS
from tests.reports.selection.run import selection_run


def facts_of(**facts):
    return selection_run("loss", method_facts=facts)


@pytest.mark.parametrize("method", METHODS)
def test_every_fact_of_a_method_has_a_label(method):
    shown = [label for label, _ in method_facts(selection_run(method))]
    assert set(shown) <= set(LABELS.values())
    assert len(shown) == len(set(shown))


def test_labels_are_those_of_some_method():
    """No label is left of a fact that has another name now."""
    found = set()
    for facts in FACTS.values():
        for key, value in facts.items():
            nested = value if isinstance(value, dict) else {}
            found |= {f"{key}.{inner}" for inner in nested} or {key}
            rows = value if key == "rounds" else []
            found |= {column for row in rows for column in row}
    assert set(LABELS) == found


def test_values_as_a_reader_wants_them():
    facts = dict(method_facts(selection_run("dualsft")))
    assert facts["parameters that the mask keeps"] == "12,288"
    assert facts["sum of û⊙Ḡ over the parameters"] == "0.009876"
    assert facts["difference of these two"] == "1e-07"
    assert facts["curvature c"] == "adam"
    facts = dict(method_facts(selection_run("less")))
    assert facts["weights of the checkpoints"] == "0.5, 0.375, 0.125"
    assert facts["ε inside the root of the Adam update"] == "yes"
    assert facts["bias correction of Adam's moments"] == "no"


def test_known_facts_come_first_in_the_order_of_the_labels():
    result = facts_of(zeta=1, mean_loss=2.5, order="one-shot")
    labels = [label for label, _ in method_facts(result)]
    assert labels == ["order of both sides", "mean loss of the candidates", "zeta"]


def test_unknown_facts_are_shown_by_their_names():
    nested = {"deep": {"er": None}, "flag": True}
    result = facts_of(odd=nested, many=[1, [2, 3]], nothing=[], mixed=[1, {"a": 2}])
    assert method_facts(result) == [
        ("odd.deep.er", "–"),
        ("odd.flag", "yes"),
        ("many", "1, 2, 3"),
        ("nothing", "–"),
        ("mixed", "1, {'a': 2}"),
    ]
    assert method_tables(result) == []


def test_unknown_rows_are_a_table():
    result = facts_of(odd=[{"a": 1}, {"a": 2, "b": 0.5}])
    (table,) = method_tables(result)
    assert (table.title, table.header) == ("odd", ("a", "b"))
    assert table.rows == (("1", "–"), ("2", "0.5"))
    assert method_facts(result) == []


def test_rounds():
    result = selection_run("dualsft")
    (table,) = method_tables(result)
    assert table.header == (
        "round",
        "I1",
        "I2",
        "Jaccard of the examples",
        "Jaccard of the parameters",
    )
    assert table.rows[0] == ("0", "0.0123", "0.0121", "–", "–")
    assert table.rows[1] == ("1", "0.0131", "0.0128", "0.42", "0.875")
    facts = result.method_facts
    only = {**facts, "rounds": facts["rounds"][-1:]}
    assert method_tables(selection_run("dualsft", method_facts=only)) == []


def test_finding_of_dualsft():
    result = selection_run("dualsft")
    assert method_finding(result) == (
        "The mask keeps 12,288 of 122,880 parameters (10.0%). The second-order term is "
        "0.02 times as long as the first-order one."
    )
    says = lambda **changes: method_finding(
        selection_run("dualsft", method_facts=result.method_facts | changes)
    )
    first = says(mask_parameters=None, kappa=0.0)
    assert first == "No mask of the 122,880 parameters was asked for."
    assert "second-order" not in says(second_to_first=None)


def test_other_methods_have_no_finding():
    assert method_finding(selection_run()) is None
