import pytest

from ntkjax.reports.selection_findings import (
    agreement_findings,
    duplicates_finding,
    length_finding,
    opening,
    warmup_finding,
    warnings,
)
from tests.reports.selection_run import bare_run, selection_run


NOTHING = {"exact": 0, "ngram": 0, "rows": []}


def test_opening():
    assert opening(selection_run()) == (
        "100 of 1,600 pool examples were chosen for a domain of 200 target examples: "
        "those with the highest neural tangent kernel with the domain (the summed "
        "kernel, averaged over the target examples), among the 400 that a vote of "
        "nearest neighbors shortlisted."
    )


def test_opening_without_a_shortlist_and_of_another_method():
    result = bare_run() | {"method": "embedding", "num_target": 1}
    assert opening(result) == (
        "100 of 1,600 pool examples were chosen for a domain of 1 target example: "
        "those that the method embedding scored highest, with every pool example "
        "scored."
    )


def test_leakage_comes_first():
    leakage, target = warnings(selection_run())
    assert leakage.startswith(
        "Leakage: 4 chosen examples repeat a holdout text (1 word for word, 3 in a run "
    )
    assert target.startswith("2 chosen examples repeat a target text (2 in a run of")


def test_no_warning_without_repeats():
    assert warnings(bare_run()) == []
    result = selection_run()
    result["duplicates"] |= {"target": NOTHING, "holdout": NOTHING}
    assert warnings(result) == []


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0.51, "much of the ranking: longer examples"),
        (-0.72, "much of the ranking: shorter examples"),
        (0.5, "some of the ranking (Spearman correlation of tokens and score 0.50)"),
        (-0.3, "some of the ranking"),
        (0.2, "little of the ranking"),
        (0.0, "little of the ranking"),
    ],
)
def test_length(value, words):
    assert words in length_finding({"length_score_spearman": value})


def test_agreement():
    ranking, votes, orders = agreement_findings(selection_run())
    assert "31.0% of the same examples; chance would give 25.0%" in ranking
    assert "37.0%" in votes
    assert "0.42" in orders
    assert agreement_findings(bare_run()) == []


def test_warmup():
    warmup = selection_run()["warmup"]
    assert warmup_finding(warmup) == (
        "LoRA was trained on the domain for 60 steps; the loss went from 3.90 to 2.04."
    )
    assert warmup_finding(warmup | {"last_loss": None, "steps": 1}).endswith("1 step.")
    assert "at the start of LoRA" in warmup_finding({"kind": "none"})
    assert "adapter that was given" in warmup_finding({"kind": "adapter"})


def test_duplicates():
    record = {"exact": 1, "ngram": 1200, "rows": []}
    assert duplicates_finding(record, "a target text") == (
        "1,201 chosen examples repeat a target text: 1 word for word, 1,200 in a run "
        "of 13 words."
    )
    assert duplicates_finding({"exact": 1, "ngram": 0}, "x").startswith(
        "1 chosen example repeats x"
    )
    assert duplicates_finding(NOTHING, "x") == "No chosen example repeats x."
    assert "was not looked for" in duplicates_finding(None, "x")
