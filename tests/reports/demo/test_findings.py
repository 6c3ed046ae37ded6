from dataclasses import replace

import pytest

from ntkjax.math.bootstrap import Estimate
from ntkjax.reports.demo.findings import (
    accuracy_text,
    chosen_finding,
    help_findings,
    kernels_finding,
    opening,
    points_text,
    signed_points,
)
from ntkjax.reports.demo.result import OverSeeds
from tests.reports.demo.run import demo_run, interval
from tests.reports.fidelity.synthetic import kernel


AGAINST = "selected + domain against "


EXACT = kernel("exact", 65.0, (1.0, 1.0, 1.0))


def test_opening_says_what_was_done_in_two_sentences():
    world, done = opening(demo_run())
    assert world == (
        "In a small world of generated text the medical domain asks for the material, "
        "the time and the smell of things, in words of its own; the answers stand in a "
        "pool of 2,208 examples, in other words and among much that does not help."
    )
    assert done == (
        "Given 36 examples of the domain, ntkjax chose 192 of the pool; then the model "
        "was fine-tuned with and without them and asked 192 questions of the domain."
    )


def test_opening_of_a_domain_with_two_skills():
    assert "the owner and the place of things" in opening(demo_run(domain="legal"))[0]


def test_wins():
    random, alone = help_findings(demo_run("wins"))
    # Means 0.5867 - 0.3177 and 0.5867 - 0.273.
    assert random.startswith(
        "The chosen examples beat as many random ones: +26.9 percentage "
    )
    assert alone.startswith("The chosen examples beat the domain alone: +31.4 percent")


def test_ties_claim_nothing():
    random, alone, *_ = help_findings(demo_run("ties"))
    assert random.startswith(
        "The chosen examples do not beat as many random ones: −0.3 percentage "
    )
    assert random.endswith("Zero lies in it, so 3 seeds do not settle the question.")
    assert alone.startswith("The chosen examples beat the domain alone")


def test_loses():
    random, alone, *_ = help_findings(demo_run("loses"))
    assert random.startswith(
        "The chosen examples are worse than as many random ones: −"
    )
    assert alone.startswith("The chosen examples are worse than the domain alone: −")


@pytest.mark.parametrize(
    ("low", "high", "verb"),
    [
        (1e-4, 0.2, "beat"),
        (0.0, 0.2, "do not beat"),
        (-0.2, 0.2, "do not beat"),
        (-0.2, 0.0, "do not beat"),
        (-0.2, -1e-4, "are worse than"),
    ],
)
def test_the_interval_alone_decides(low, high, verb):
    differences = dict(demo_run().differences)
    found = OverSeeds((low + high) / 2, low, high, (0.0,) * 3)
    differences[f"{AGAINST}random + domain"] = found
    says = help_findings(demo_run(differences=differences))[0]
    assert f" examples {verb} as many" in says


def warnings(base, **arms):
    """Sentences after the two comparisons, for other accuracies."""
    names = {"selected": "selected + domain", "domain": "domain only"}
    changed = {names[name]: interval(values) for name, values in arms.items()}
    accuracy = demo_run("wins").accuracy | changed
    return help_findings(demo_run(base_accuracy=base, accuracy=accuracy))[2:]


def test_an_accuracy_that_could_be_guessing_is_warned_of():
    (warning,) = warnings(0.24, selected=[0.26, 0.31, 0.36])
    assert warning == (
        "With the chosen examples 31.0% [18.6, 43.4] of the answers are right, not "
        "reliably more than the 25.0% of guessing."
    )
    assert warnings(0.24, selected=[0.30, 0.31, 0.32]) == []


def test_an_accuracy_like_that_of_the_model_as_it_is_is_warned_of():
    same = {"selected": [0.30, 0.31, 0.32], "domain": [0.33, 0.34, 0.35]}
    (warning,) = warnings(0.32, **same)
    assert warning.endswith("not reliably more than the 32.0% of the model as it is.")


def test_fine_tuning_that_harms_is_told():
    (warning,) = warnings(0.339, domain=[0.141, 0.146, 0.193])
    assert warning == (
        "Fine-tuning on the domain alone left the model worse than it was: 16.0% "
        "[8.9, 23.1] right against 33.9%."
    )
    chosen, alone = warnings(0.35, selected=[0.30, 0.31, 0.32], domain=[0.1, 0.11])
    assert chosen.startswith("Fine-tuning on the chosen examples and the domain left")
    assert alone.startswith("Fine-tuning on the domain alone left")


@pytest.mark.parametrize(
    ("kernel_share", "words"),
    [
        (137 / 192, "would have found fewer: 60.4%."),
        (89 / 192, "would have found more: 60.4%."),
        (116 / 192, "would have found just as many: 60.4%."),
    ],
)
def test_shares(kernel_share, words):
    shares = replace(demo_run().shares, kernel=kernel_share)
    assert chosen_finding(demo_run(shares=shares)) == (
        f"Of the 192 examples that the kernel chose, {kernel_share:.1%} teach a skill "
        "that the domain needs. The embedding vote alone, which costs less, "
        f"{words} Random choice found 16.0%; the whole pool holds 16.3%."
    )


def test_best_and_worst_of_the_cheap_kernels():
    worst = kernel("summed", 2.0, (0.7, 0.6, 0.8))
    best = kernel("spectral_4", 5.0, (0.9, 0.85, 0.95))
    dear = kernel("centered", 66.0, (0.99, 0.98, 0.995))
    assert kernels_finding([EXACT, worst, best, dear]) == (
        "Of the kernels at half the exact price or less, spectral_4 orders pool "
        "examples most like the exact kernel (Spearman 0.90 [0.85, 0.95], 5 forward "
        "passes against 65) and summed least (0.70 [0.60, 0.80])."
    )


def test_overlapping_kernels_are_not_told_apart():
    worst = kernel("summed", 2.0, (0.7, 0.6, 0.86))
    best = kernel("random", 2.0, (0.9, 0.85, 0.95))
    assert kernels_finding([EXACT, worst, best]).endswith(
        "; their intervals overlap, so this run does not settle it."
    )


def test_one_cheap_kernel_and_none():
    summed = kernel("summed", 2.0, (0.7, 0.6, 0.8))
    assert kernels_finding([EXACT, summed]).endswith("2 forward passes against 65).")
    assert "costs half as much" in kernels_finding([EXACT])


def test_numbers():
    wide = Estimate(0.9375, -0.02, 1.04)
    assert accuracy_text(wide) == "93.8% [0.0, 100.0]"
    assert points_text(wide) == "+93.8 [−2.0, +104.0]"
    texts = [signed_points(x) for x in (0.0, 0.0921, -0.05, 0.0002, -0.0002)]
    assert texts == ["0", "+9.2", "−5.0", "+0.02", "−0.02"]
