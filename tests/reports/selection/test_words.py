import pytest

from ntkjax.reports.selection.words import (
    count_noun,
    glossary,
    method_finding,
    score_words,
)
from ntkjax.selection.methods.table import METHODS
from tests.reports.selection.run import selection_run


def said_of(method, **facts):
    known = selection_run(method).method_facts
    words = score_words(selection_run(method, method_facts=known | facts))
    return f"{words.highest} | {words.score} | {words.definition}"


@pytest.mark.parametrize("method", METHODS)
def test_words_are_whole(method):
    result = selection_run(method)
    words = score_words(result)
    for text in (words.score, words.highest, words.definition):
        assert text
        assert "None" not in text
        assert not set("{}") & set(text)
        assert "  " not in text
    assert words.definition.endswith(".")
    assert not words.score.endswith(".")


def test_ntk_names_the_kernel():
    facts = selection_run().method_facts | {"kernel": "{evil}"}
    result = selection_run(method_facts=facts)
    assert "(the {evil} kernel," in score_words(result).highest


def test_less_says_what_stands_for_a_candidate():
    adam = said_of("less")
    assert "Adam updates point" in adam
    assert "example's Adam update with" in adam
    assert "loss gradients point" in said_of("less", gradient={"kind": "sgd"})
    sign = said_of("less", gradient={"kind": "sign"})
    assert "gradient signs point" in sign
    assert "example's vector of gradient signs with" in sign


def test_less_at_one_checkpoint_does_not_speak_of_more():
    assert said_of("less").count("checkpoints of the warm-up") == 3
    assert "checkpoints" not in said_of("less", checkpoints=1)


def test_dsir_says_whether_it_draws():
    assert "random noise" in said_of("dsir")
    assert "Gumbel noise" in said_of("dsir")
    assert "noise" not in said_of("dsir", sample=False)


def test_dualsft_says_what_is_to_fall():
    both = said_of("dualsft")
    assert "the loss of 200 validation examples plus the divergence from" in both
    assert "divergence" not in said_of("dualsft", lambda_prior=0.0)
    prior = said_of("dualsft", lambda_new=0.0)
    assert "validation" not in prior
    assert "fall in the divergence from the model before its warm-up" in prior


def test_vote_names_its_neighbors():
    assert "among their 1,200 nearest" in said_of("vote", neighbors=1200)


def test_count():
    assert count_noun(1, "step") == "1 step"
    assert count_noun(1200, "step") == "1,200 steps"
    assert count_noun(0, "step") == "0 steps"


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


def test_only_dualsft_has_words_of_its_own():
    result = selection_run("dualsft")
    terms = [term for term, _ in glossary(result)]
    assert terms == ["I1, I2", "Scores of parameters", "Jaccard"]
    facts = result.method_facts | {"rounds": []}
    assert len(glossary(selection_run("dualsft", method_facts=facts))) == 2
    assert glossary(selection_run()) == []
