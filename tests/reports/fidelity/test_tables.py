import io
from dataclasses import replace

import pytest
from rich.console import Console

from ntkjax.reports.fidelity.tables import (
    fidelity_cells,
    fidelity_headers,
    fidelity_sections,
    fidelity_table,
    measure_words,
)
from ntkjax.reports.numbers import interval_text, ratio_text, share_text


def printed(result, width=100):
    console = Console(width=width, file=io.StringIO(), color_system=None)
    console.print(fidelity_table(result))
    return console.file.getvalue()


@pytest.mark.slow
def test_cells_agree_with_the_record(result):
    for kernel in result.kernels:
        cells = fidelity_cells(kernel)
        assert len(cells) == len(fidelity_headers(result))
        assert cells[0] == kernel.name
        assert cells[2] == ratio_text(kernel.cross_terms.raw_pairs.q50)
        assert cells[4] == interval_text(kernel.mean_score.spearman)
        assert cells[6] == share_text(kernel.mean_score.top_overlap.value)


def test_exact_row(result):
    exact = fidelity_cells(result.kernels[0])
    assert exact == ("exact", "65", "0", "0", "1.00 [1.00, 1.00]", "1.00", "1.00")


def test_header_names_the_chance_level(result):
    result = replace(result, top=20, chance_overlap=0.004)
    assert (
        fidelity_headers(result)[-1] == "top-20 overlap (chance\N{NO-BREAK SPACE}0.004)"
    )


def test_sections_that_are_empty_are_left_out(result):
    assert len(fidelity_sections(result)) == 3
    result = replace(result, sketches=(), stability=None)
    assert [title for title, _ in fidelity_sections(result)] == ["Kernels"]


def test_terminal_table_fits_and_clips_no_number(result):
    text = printed(result)
    assert max(map(len, text.splitlines())) <= 100
    assert "…" not in text
    for _, rows in fidelity_sections(result):
        for row in rows:
            assert all(cell in text for cell in row[1:])


def test_brackets_in_a_name_are_no_markup(result):
    exact, summed, *others = result.kernels
    kernels = (exact, replace(summed, name="[bold]x[/]"), *others)
    assert "[bold]x[/]" in printed(replace(result, kernels=kernels))


def test_every_measure_has_its_words(result):
    found = dict(measure_words(replace(result, top=20, num_candidates=5000)))
    assert list(found) == ["Spearman", "Kendall", "Top-20 overlap and chance"]
    assert "20 / 5000 = " in found["Top-20 overlap and chance"]
