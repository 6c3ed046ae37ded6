import io

import pytest
from rich.console import Console

from ntkjax.reports.selection.findings import length_finding, opening, warnings
from ntkjax.reports.selection.tables import (
    composition,
    selection_summary,
    source_ratio,
)
from tests.reports.selection.run import (
    bare_run,
    record,
    selection_run,
    selection_values,
)


def printed(result, width=80):
    console = Console(width=width, file=io.StringIO(), color_system=None)
    console.print(selection_summary(result))
    return console.file.getvalue()


def squeeze(text):
    return " ".join(text.split())


def test_rows_are_those_of_the_record_most_chosen_first():
    result = selection_run()
    rows = composition(result.sources)
    selected = [row.selected for row in rows]
    assert selected == sorted(selected, reverse=True)
    assert set(rows) == set(result.sources)
    for row in rows:
        share = row.selected_share / row.pool_share
        assert float(source_ratio(row).rstrip("×")) == pytest.approx(share, abs=0.06)


def test_many_sources_are_added_up():
    result = selection_run()
    *shown, rest = composition(result.sources, most=1)
    assert len(shown) == 1
    assert rest.source == "3 other sources"
    assert shown[0].selected + rest.selected == result.num_selected
    assert shown[0].pool + rest.pool == result.num_pool
    assert shown[0].pool_share + rest.pool_share == pytest.approx(1)
    assert rest.shortlisted + shown[0].shortlisted == result.num_shortlisted
    # A single source is not hidden behind "1 other source".
    assert composition(result.sources, most=3) == composition(result.sources, most=4)


def test_summary_says_it_all():
    result = selection_run()
    text = printed(result)
    assert max(map(len, text.splitlines())) <= 80
    assert "…" not in text
    for sentence in (opening(result), *warnings(result), length_finding(result)):
        assert sentence in squeeze(text)
    for row in composition(result.sources):
        line = next(x for x in text.splitlines() if x.startswith(row.source))
        counts = [f"{n:,}" for n in (row.pool, row.shortlisted, row.selected)]
        assert line.split()[1:4] == counts
        assert line.split()[-1] == source_ratio(row)


def test_summary_of_dualsft_tells_the_mask():
    text = squeeze(printed(selection_run("dualsft")))
    assert "The mask keeps 12,288 of 122,880 parameters (10.0%)." in text
    assert "trained on 80 examples of the pool" in text
    assert "mask" not in printed(selection_run("less"))


def test_summary_of_a_bare_run():
    text = printed(bare_run())
    assert "shortlisted" not in text
    assert "Leakage" not in text


def test_hostile_names_do_nothing_to_the_terminal():
    result = selection_values()
    result["sources"][0]["source"] = "[bold]x[/] \x1b[2Jgone"
    text = printed(record(result), width=120)
    assert "[bold]x[/] ⟨U+001B⟩[2Jgone" in text
    assert "\x1b" not in text
