import io
from dataclasses import replace

import pytest
from rich.console import Console

from ntkjax.data.world import make_world
from ntkjax.data.world_words import DOMAINS, NEW_THINGS
from ntkjax.reports.demo.findings import (
    accuracy_text,
    chosen_finding,
    help_findings,
    kernels_finding,
    opening,
    points_text,
)
from ntkjax.reports.demo.tables import (
    THING,
    accuracy_rows,
    demo_summary,
    difference_rows,
    kernel_rows,
    seconds_text,
    source_rows,
    wordings,
)
from ntkjax.reports.fidelity.tables import fidelity_cells
from tests.reports.demo.run import demo_run


def printed(result, width=80):
    file = io.StringIO()
    Console(width=width, file=file, color_system=None).print(demo_summary(result))
    return file.getvalue()


def squeeze(text):
    return " ".join(text.split())


@pytest.mark.parametrize("domain", DOMAINS)
def test_wordings_are_questions_of_the_world_with_one_answer(domain):
    assert THING in NEW_THINGS
    world = make_world(3)
    records = (*world.domains[domain].train, *world.domains[domain].evaluation)
    answer = {
        record["prompt"]: record["response"] for record in (*world.pool, *records)
    }
    found = wordings(demo_run(domain=domain))
    assert [wording.skill for wording in found] == list(DOMAINS[domain])
    asked = [wording for wording in found if wording.domain in answer]
    assert asked, "training sets hold some, evaluation sets the rest"
    for wording in asked:
        assert answer[wording.pool] == answer[wording.domain]


def test_accuracies_and_differences_are_those_of_the_record():
    result = demo_run()
    base, *arms = accuracy_rows(result)
    assert base == ("nothing: the model as it is", "24.5%", "")
    assert arms[0] == ("domain only", "27.3% [24.3, 30.3]", "27.1, 28.6, 26.2")
    for (name, text, _), (arm, found) in zip(
        arms, result.accuracy.items(), strict=True
    ):
        assert (name, text) == (arm, accuracy_text(found))
    rows = difference_rows(result)
    assert [row[0] for row in rows] == list(result.differences)
    assert [row[1] for row in rows] == [
        points_text(found) for found in result.differences.values()
    ]
    assert rows[1][2] == "+26.5, +26.3, +27.9"


def test_kernels_keep_their_first_five_cells():
    result = demo_run()
    for row, kernel in zip(kernel_rows(result), result.kernels, strict=True):
        assert row == fidelity_cells(kernel)[:5]
        assert "[" in row[-1]


def test_sources_are_marked_most_chosen_first():
    result = demo_run()
    rows = source_rows(result)
    selected = [row.counts.selected for row in rows]
    assert selected == sorted(selected, reverse=True)
    assert len(rows) == len(result.sources) == 20
    kinds = {row.counts.source: row.kind for row in rows}
    assert {name for name, kind in kinds.items() if kind == "needed"} == {
        "material",
        "time",
        "smell",
    }
    assert kinds["hospital toys"] == "distractor"
    assert kinds["colour"] == ""


@pytest.mark.parametrize("outcome", ["wins", "ties", "loses"])
def test_summary_says_it_all_in_short(outcome):
    result = demo_run(outcome)
    text = printed(result)
    assert max(map(len, text.splitlines())) <= 80
    assert len(text.splitlines()) <= 30
    assert "…" not in text
    for sentence in (
        *opening(result),
        *help_findings(result),
        chosen_finding(result),
        kernels_finding(result.kernels),
        seconds_text(result.seconds),
    ):
        assert sentence in squeeze(text)
    for row in accuracy_rows(result):
        assert " ".join(row).strip() in squeeze(text)


def test_many_seeds_fit():
    values = tuple(0.512 + 0.001 * seed for seed in range(12))
    arms = demo_run().accuracy.items()
    accuracy = {name: replace(arm, values=values) for name, arm in arms}
    text = printed(demo_run(accuracy=accuracy))
    assert max(map(len, text.splitlines())) <= 80
    for seed in range(12):
        assert f"{51.2 + 0.1 * seed:.1f}" in text


def test_hostile_names_do_nothing_to_the_terminal():
    kernels = tuple(replace(row, name="[bold]x[/]") for row in demo_run().kernels)
    assert "[bold]x[/]" in squeeze(printed(demo_run(kernels=kernels)))


def test_seconds():
    assert seconds_text({"fidelity": 28.14, "all": 1234.5}) == (
        "fidelity 28.1, all 1,234.5"
    )
