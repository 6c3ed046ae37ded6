import re
from dataclasses import replace

import pytest

from ntkjax.reports.demo import plots as demo_plots
from ntkjax.reports.demo.findings import (
    chosen_finding,
    help_findings,
    kernels_finding,
    opening,
)
from ntkjax.reports.demo.page import demo_page, write_demo_page
from ntkjax.reports.demo.tables import (
    accuracy_rows,
    difference_rows,
    kernel_rows,
    seconds_text,
    source_rows,
    wordings,
)
from ntkjax.reports.numbers import percent_text
from ntkjax.reports.selection.tables import source_ratio
from tests.reports.demo.run import demo_run
from tests.reports.selection.test_page import HOSTILE, Page, squeeze


@pytest.fixture
def without_figures(monkeypatch):
    """Most of the time goes into drawing, which has its own tests."""
    monkeypatch.setattr(demo_plots, "draw", lambda *_: "<svg></svg>")


@pytest.fixture(scope="module")
def page():
    return Page(demo_page(demo_run()))


def test_parts_stand_in_the_order_that_a_reader_needs(page):
    result = demo_run()
    text = squeeze(page.text)
    parts = [
        "Did the chosen examples help?",
        *opening(result),
        *help_findings(result),
        "Accuracy after fine-tuning",
        "Differences in percentage points",
        "What was chosen?",
        chosen_finding(result),
        wordings(result)[0].domain,
        "Sources of the pool",
        "How good are the cheap kernels?",
        kernels_finding(result.kernels),
        "Now with your own files",
        "ntkjax fidelity --model",
        "ntkjax select --model",
        "What it took",
        seconds_text(result.seconds),
        result.device,
        "jax 0.10.1",
    ]
    found = [text.find(part) for part in parts]
    assert -1 not in found
    assert found == sorted(found)


def test_numbers_are_those_of_the_record(page):
    result = demo_run()
    rows = {row[0]: row[1:] for row in page.rows}
    for name, *cells in (*accuracy_rows(result), *difference_rows(result)):
        assert rows[name] == cells
    for name, *cells in kernel_rows(result):
        assert rows[name] == cells
    for kind, counts in source_rows(result):
        # `Page` drops the space between a name and its mark.
        cells = rows[f"{counts.source}{kind}"]
        numbers = counts.selected, counts.shortlisted, counts.pool
        assert cells[:3] == [f"{number:,}" for number in numbers]
        shares = counts.selected_share, counts.pool_share
        assert cells[3:] == [*map(percent_text, shares), source_ratio(counts)]


@pytest.mark.usefixtures("without_figures")
@pytest.mark.parametrize("outcome", ["wins", "ties", "loses"])
def test_every_outcome_is_told(outcome):
    result = demo_run(outcome)
    text = squeeze(Page(demo_page(result)).text)
    for sentence in help_findings(result):
        assert sentence in text
    assert ("The chosen examples beat as many" in text) == (outcome == "wins")


def test_no_network_no_scripts(page):
    text = page.source
    assert not re.search(r"https?:|//[a-z]|@import|url\((?!#)", text)
    assert not {"script", "link", "iframe", "object", "form", "base"} & set(page.tags)
    assert "default-src 'none'" in text
    assert page.open == []


def test_links_lead_to_the_two_reports(page):
    links = [value for _, name, value in page.attributes if name == "href"]
    assert links == ["selection/report.html", "fidelity/report.html"]
    ids = [value for _, name, value in page.attributes if name == "id"]
    assert len(ids) == len(set(ids))


def test_figures(page):
    assert page.tags.count("svg") == 2
    assert "guessing 25%" in page.text


def test_commands_parse_with_the_flags_of_the_two_commands(page):
    from ntkjax.commands.fidelity.settings import FidelitySettings
    from ntkjax.commands.select.settings import SelectSettings

    command = r"<pre><code>uv run ntkjax (.*?)</code></pre>"
    blocks = re.findall(command, page.source, re.DOTALL)
    settings = {"fidelity": FidelitySettings, "select": SelectSettings}
    assert [block.split()[0] for block in blocks] == list(settings)
    for block in blocks:
        fields = settings[block.split()[0]].__dataclass_fields__
        assert set(re.findall(r"--([a-z-]+)", block)) <= set(fields)
        # A shell joins these lines only if nothing follows the backslash.
        assert all(line.endswith("\\") for line in block.splitlines()[:-1])


@pytest.mark.usefixtures("without_figures")
@pytest.mark.parametrize("hostile", HOSTILE)
def test_hostile_text_changes_no_element(hostile):
    def poisoned(text):
        result = demo_run(
            model=text,
            device=text,
            versions={text: text},
            seconds={text: 1.0},
            kernels=tuple(replace(row, name=text) for row in demo_run().kernels),
            sources=tuple(replace(row, source=text) for row in demo_run().sources),
        )
        return Page(demo_page(result))

    plain, found = poisoned("z" * len(hostile)), poisoned(hostile)
    assert found.tags == plain.tags
    assert found.attributes == plain.attributes


@pytest.mark.usefixtures("without_figures")
def test_run_without_a_shortlist():
    sources = tuple(replace(row, shortlisted=None) for row in demo_run().sources)
    page = Page(demo_page(demo_run(sources=sources)))
    assert next(row[:3] for row in page.rows if row[0] == "source") == [
        "source",
        "chosen",
        "pool",
    ]
    assert "None" not in page.text


def test_a_file_is_the_same(page, tmp_path):
    path = tmp_path / "report.html"
    write_demo_page(demo_run(), path)
    assert path.read_text(encoding="utf-8") == page.source
