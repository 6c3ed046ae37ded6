import pytest

from ntkjax.reports.selection.facts import method_facts, method_tables
from ntkjax.selection.methods.table import METHODS
from tests.reports.selection.methods import FACTS
from tests.reports.selection.run import selection_run


def facts_of(**facts):
    return selection_run("loss", method_facts=facts)


@pytest.mark.parametrize("method", METHODS)
def test_every_fact_of_a_method_has_a_label_and_every_label_a_fact(method):
    labels, found = METHODS[method].words.labels, set()
    for key, value in FACTS[method].items():
        nested = value if isinstance(value, dict) else {}
        found |= {f"{key}.{inner}" for inner in nested} or {key}
        rows = value if key == "rounds" else []
        found |= {column for row in rows for column in row}
    assert set(labels) == found
    assert len(set(labels.values())) == len(labels)


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
    facts = {"zeta": 1, "probes": 2, "kernel": "random_2"}
    found = method_facts(selection_run("ntk", method_facts=facts))
    labels = [label for label, _ in found]
    assert labels == ["kernel", "probes: gradients per example", "zeta"]


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
