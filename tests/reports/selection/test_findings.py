import dataclasses

import pytest

from ntkjax.reports.selection.findings import (
    agreement_findings,
    duplicates_finding,
    length_finding,
    opening,
    rank_finding,
    warmup_finding,
    warnings,
)
from ntkjax.selection.pickers.table import PICKERS
from ntkjax.selection.result import Duplicates, Repeats
from tests.reports.selection.run import NO_WARMUP, bare_run, selection_run


NOTHING = Repeats(exact=0, ngram=0, rows=())
TAUGHT = {**NO_WARMUP, "kind": "target"}


def test_opening():
    assert opening(selection_run()) == (
        "100 of 1,600 pool examples were chosen for a domain of 200 target examples: "
        "those with the highest neural tangent kernel with the domain (the summed "
        "kernel, averaged over the target examples), among the 400 that a vote of "
        "nearest neighbors shortlisted."
    )


def test_opening_without_a_shortlist():
    result = selection_run("embedding", num_target=1)
    assert opening(result) == (
        "100 of 1,600 pool examples were chosen for a domain of 1 target example: "
        "those with the highest mean cosine of embeddings with the target examples, "
        "out of the whole pool."
    )


@pytest.mark.parametrize(
    ("method", "says"),
    [
        ("less", "those whose Adam updates point most along the target's loss grad"),
        ("dualsft", "predicted fall in the loss of 200 validation examples plus the"),
        ("rds", "each target example in turn took its best candidate left, by the cos"),
        ("length-matched", "drawn at random so that their lengths follow the target's"),
    ],
)
def test_opening_of_other_methods(method, says):
    assert says in opening(selection_run(method))


def test_opening_of_dualsft_speaks_of_what_it_looked_at():
    """A validation set takes the target's place or is a part of it."""
    says = lambda **changes: opening(selection_run("dualsft", **changes))
    start = "100 of 1,600 pool examples were chosen for "
    whole = says()
    assert whole.startswith(f"{start}200 validation examples: those with the largest")
    assert whole.endswith("out of the whole pool.")
    assert "target" not in whole
    half = says(num_aim=100)
    assert half.startswith(f"{start}100 validation examples: ")
    assert half.endswith(" Of the 200 target examples 100 were not used.")
    assert says(num_aim=199).endswith(" Of the 200 target examples 1 was not used.")
    for number in (50, 200, 300):
        files = {"num_aim": number, "validation": ["v.jsonl"]}
        assert says(**files).endswith(" Of the 200 target examples 200 were not used.")
        assert says(**files, warmup=TAUGHT).endswith("out of the whole pool.")
    assert "not used" not in says(num_aim=100, warmup=TAUGHT)


def test_opening_says_where_the_target_played_no_part():
    says = lambda method, **changes: opening(selection_run(method, **changes))
    assert says("random") == (
        "100 of 1,600 pool examples were chosen without regard to the domain of 200 "
        "target examples: drawn at random, out of the whole pool."
    )
    assert "for a domain" in says("random", num_shortlisted=400)
    assert "without regard" in says("random", warmup=TAUGHT)  # it reads no model
    assert "without regard" in says("loss")
    assert "for a domain" in says("loss", warmup=TAUGHT)


def test_opening_of_other_pickers():
    words = {
        "top": "over the checkpoints of the warm-up (LESS), out of the whole pool.",
        "quota": "(LESS), each source with its share of the picks, out of the whole",
        "round-robin": "each group of the target in turn took its best candidate left, "
        "by the mean cosine of their Adam updates",
        "facility-location": "taken one by one so that together they stand for the "
        "candidates with the highest mean cosine of their Adam updates",
    }
    assert set(words) == set(PICKERS)
    for picker, says in words.items():
        assert says in opening(selection_run("less", picker=picker))
    groups = selection_run("rds", method_facts={"pooling": "", "queries": "groups"})
    assert "each group of the target in turn" in opening(groups)


def test_opening_of_a_reversed_run():
    says = lambda **changes: opening(selection_run("loss", reverse=True, **changes))
    assert "those with the LOWEST loss, out of the whole pool, as a control." in says()
    reverse = says(picker="quota")
    assert "LOWEST loss, each source with its share of the picks, out of" in reverse


def test_rank():
    says = lambda **changes: rank_finding(selection_run(**changes))
    assert says() == "The number in front is the rank by score."
    assert says(reverse=True).endswith("by score, the lowest first.")
    assert "in the order of picking" in says(picker="quota")


def test_leakage_comes_first():
    leakage, target = warnings(selection_run())
    assert leakage.startswith(
        "Leakage: 4 chosen examples repeat a holdout text (1 word for word, 3 in a run "
    )
    assert target.startswith("2 chosen examples repeat a target text (2 in a run of")


def test_no_warning_without_repeats():
    assert warnings(bare_run()) == []
    duplicates = Duplicates(within=NOTHING, target=NOTHING, holdout=NOTHING)
    assert warnings(dataclasses.replace(selection_run(), duplicates=duplicates)) == []


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0.51, "much of the scores: longer examples"),
        (-0.72, "much of the scores: shorter examples"),
        (0.5, "some of the scores (Spearman correlation of tokens and score 0.50)"),
        (-0.3, "some of the scores"),
        (0.2, "little of the scores"),
        (0.0, "little of the scores"),
    ],
)
def test_length(value, words):
    assert words in length_finding(selection_run(length_score_spearman=value))


def test_agreement():
    ranking, votes, orders = agreement_findings(selection_run())
    assert "31.0% of the same examples; chance would give 25.0%" in ranking
    assert "37.0%" in votes
    assert "0.42" in orders
    assert agreement_findings(bare_run()) == []


def test_warmup():
    result = selection_run()
    assert warmup_finding(result) == (
        "LoRA was trained on 200 examples of the domain for 60 steps; the loss went "
        "from 3.90 to 2.04."
    )
    warmup = dataclasses.replace(result.warmup, last_loss=None, steps=1)
    once = warmup_finding(dataclasses.replace(result, warmup=warmup))
    assert once.endswith("of the domain for 1 step.")


def test_warmup_on_the_pool_and_of_all_weights():
    result = selection_run("less", parameters="full")
    words = "All weights were trained on 80 examples of the pool for 60 steps; the"
    assert warmup_finding(result).startswith(words)


def test_no_warmup():
    says = lambda *method, **changes: warmup_finding(selection_run(*method, **changes))
    assert says("loss") == "No warm-up: the scores were taken at the start of LoRA."
    assert says("loss", parameters="full").endswith("taken at the model as it is.")
    adapter = NO_WARMUP | {"kind": "adapter"}
    assert says("loss", warmup=adapter).endswith("the adapter that was given.")
    assert says("random") == "No warm-up: the method does not look at the model."
    assert "embeddings were taken at the start" in says("random", num_shortlisted=400)


def test_duplicates():
    assert duplicates_finding(Repeats(1, 1200, ()), "a target text") == (
        "1,201 chosen examples repeat a target text: 1 word for word, 1,200 in a run "
        "of 13 words."
    )
    assert duplicates_finding(Repeats(1, 0, ()), "x").startswith(
        "1 chosen example repeats x"
    )
    assert duplicates_finding(NOTHING, "x") == "No chosen example repeats x."
    assert "was not looked for" in duplicates_finding(None, "x")
