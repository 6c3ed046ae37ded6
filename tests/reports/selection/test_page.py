import html.parser
import re

import pytest

from ntkjax.reports.selection import plots as selection_plots
from ntkjax.reports.selection.findings import length_finding, opening, warnings
from ntkjax.reports.selection.page import selection_page, write_selection_page
from ntkjax.reports.selection.words import score_words
from ntkjax.selection.methods.table import METHODS
from tests.reports.selection.run import (
    bare_run,
    duplicates,
    record,
    selection_run,
    selection_values,
)


HOSTILE = [
    "<script>alert(1)</script>",
    "</title><img src=x onerror=alert(1)>",
    "</style></details></main><svg onload=alert(1)>",
    '" onmouseover="alert(1)" style="position:fixed',
    "{{ 7 * 7 }}{% include '/etc/passwd' %}",
    "../../etc/passwd",
    "https://evil.example/x.js",
    "javascript:alert(1)",
    "&lt;b&gt; &amp;",
    "a\u202eb",
    "שלום עולם",
    "x\x00\x1b[31m",
]


class Page(html.parser.HTMLParser):
    """Tags with their attributes, table rows, text; and whether tags are balanced."""

    VOID = ("meta", "br", "hr")

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.rows, self.text = [], [], [], ""
        self.open, self.cell, self.source = [], None, text
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.handle_startendtag(tag, attrs)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, *pair) for pair in attrs]
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
            self.cell = self.rows[-1]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag
        if tag in ("td", "th"):
            self.cell = None

    def handle_data(self, data):
        self.text += data
        if self.cell is not None:
            self.cell[-1] = squeeze(self.cell[-1] + data)


def squeeze(text):
    return re.sub(r"\s+", " ", text).strip()


def poisoned(text):
    """A run with `text` in every place that a user's file or flag can reach."""
    result = selection_values()
    result |= {"model": text, "target": [text], "pool": [text, text]}
    result |= {"device": text, "versions": {text: text}, "kernel": text}
    result["method_facts"] |= {text: text, "queries": [text, {}], "kernel": text}
    result["method_facts"]["rounds"] = [{text: text}, {text: 1, "round": text}]
    for source in result["sources"]:
        source["source"] = text
    for rows in result["texts"].values():
        for row in rows:
            row |= {"id": text, "source": text, "prompt": text, "response": text * 80}
    for repeats in result["duplicates"].values():
        for row in repeats["rows"]:
            row |= {"first_id": text, "second_id": text, "words": text}
    return record(result)


@pytest.fixture
def without_figures(monkeypatch):
    """Most of the time goes into drawing, which has its own tests."""
    monkeypatch.setattr(selection_plots, "draw", lambda *_: "<svg></svg>")


@pytest.fixture(scope="module")
def page():
    return Page(selection_page(selection_run()))


def test_parts_stand_in_the_order_that_a_reader_needs(page):
    result = selection_run()
    text = squeeze(page.text)
    parts = [
        opening(result),
        *(f"Warning. {warning}" for warning in warnings(result)),
        "Where do they come from?",
        "How far do they stand out?",
        length_finding(result),
        "31.0% of the same examples; chance would give 25.0%",
        "Highest scores (20)",
        "the cut: chosen above",
        "Lowest of the scored (20)",
        "the loss went from 3.90 to 2.04",
        "Do they repeat other texts?",
        "What did it take?",
        "Settings",
    ]
    # The last place of each: headings come after the links to them.
    found = [text.rfind(part) for part in parts]
    assert -1 not in found
    assert found == sorted(found)
    assert len(warnings(result)) == 2


def test_numbers_are_those_of_the_record(page):
    result = selection_run()
    rows = {row[0]: row[1:] for row in page.rows}
    for source in result.sources:
        numbers = (source.selected, source.shortlisted, source.pool)
        shares = [f"{s:.1%}" for s in (source.pool_share, source.selected_share)]
        assert rows[source.source][:2] == shares
        assert rows[source.source][3:] == [f"{number:,}" for number in numbers]
    for stage in result.stages:
        cells = [f"{stage.seconds:,.1f}", f"{stage.peak_mib:,.0f}"]
        assert rows[stage.stage] == cells
    assert rows["all stages"] == ["252.8", "1,302"]
    text = squeeze(page.text)
    for number in (result.selected_tokens, result.pool_tokens):
        assert f"{number:,}" in text
    assert "Budget: 100 examples" in text
    assert "3 target, 41 pool examples" in text


def test_every_text_is_there_with_its_numbers(page):
    result = selection_run()
    text = squeeze(page.text)
    texts = result.texts
    for row in (*texts.best, *texts.cut, *texts.worst):
        assert squeeze(f"{row.rank}{row.id} {row.source}") in text
        assert f"score {row.score:.4g}" in text
        assert squeeze(row.response) in text
    assert page.tags.count("article") == 60 + 2 + 2 + 4
    assert page.text.count("the cut: ") == 1


@pytest.mark.usefixtures("without_figures")
def test_white_space_is_kept_and_long_texts_are_cut():
    result = selection_values()
    row = result["texts"]["best"][0]
    row |= {"prompt": "  two\n\n  lines", "response": "x" * 1500 + "y" * 1234}
    page = Page(selection_page(record(result)))
    assert "  two\n\n  lines" in page.text
    assert "x" * 1500 in page.text
    assert "xy" not in page.text
    assert "1,234 more characters are not shown." in page.text


def test_no_network_no_scripts(page):
    text = page.source
    assert not re.search(r"https?:|//[a-z]|@import|url\((?!#)", text)
    assert not {"script", "link", "iframe", "object", "form", "base"} & set(page.tags)
    assert "default-src 'none'" in text


@pytest.mark.usefixtures("without_figures")
@pytest.mark.parametrize("hostile", HOSTILE)
def test_hostile_text_changes_no_element(hostile):
    plain = Page(selection_page(poisoned("z" * len(hostile))))
    found = Page(selection_page(poisoned(hostile)))
    assert found.tags == plain.tags
    assert found.attributes == plain.attributes
    assert found.open == []


@pytest.mark.usefixtures("without_figures")
def test_hostile_text_is_shown():
    for hostile in HOSTILE[:9]:
        assert Page(selection_page(poisoned(hostile))).text.count(hostile) > 200
    text = Page(selection_page(poisoned("a\u202eb\x1b"))).text
    assert "a⟨U+202E⟩b⟨U+001B⟩" in text
    assert not re.search("[\x00-\x08\x0b-\x1f\u202e]", text)


def test_links_lead_to_parts_of_the_page(page):
    ids = [value for _, name, value in page.attributes if name == "id"]
    links = [
        value for tag, name, value in page.attributes if (tag, name) == ("a", "href")
    ]
    assert {link.removeprefix("#") for link in links} <= set(ids)
    assert len(ids) == len(set(ids))


@pytest.mark.usefixtures("without_figures")
@pytest.mark.parametrize("method", METHODS)
def test_every_method_has_a_page(method):
    result = selection_run(method)
    page = Page(selection_page(result))
    assert page.open == []
    text = squeeze(page.text)
    assert squeeze(opening(result)) in text
    assert squeeze(score_words(result).definition) in text
    assert ("What did the method find?" in text) == (method != "random")
    assert ("I1, I2" in text) == (method == "dualsft")
    assert f"method{method}" in re.sub(r"\s", "", page.text)
    assert "kernelNone" not in re.sub(r"\s", "", page.text)


@pytest.mark.usefixtures("without_figures")
def test_what_dualsft_found():
    page = Page(selection_page(selection_run("dualsft")))
    text = squeeze(page.text)
    assert "The mask keeps 12,288 of 122,880 parameters (10.0%)." in text
    assert "anchors of the divergence256" in re.sub(r" ?\n ?", "", page.text)
    assert ["1", "0.0131", "0.0128", "0.42", "0.875"] in page.rows
    assert "Jaccard What a choice" in text
    assert "Training loss on the pool." in text
    assert "warm-uppool, 80 examples, 60 steps" in text.replace("warm-up ", "warm-up")


@pytest.mark.usefixtures("without_figures")
@pytest.mark.parametrize(
    ("changes", "titles", "rank"),
    [
        ({}, ("Highest scores", "Lowest of the scored"), "is the rank by score."),
        (
            {"reverse": True},
            ("Lowest scores", "Highest of the scored"),
            "is the rank by score, the lowest first.",
        ),
        (
            {"picker": "quota"},
            ("Picked first", "Last of the scored"),
            "is the rank in the order of picking",
        ),
    ],
)
def test_texts_are_called_what_they_are(changes, titles, rank):
    text = squeeze(Page(selection_page(selection_run("loss", **changes))).text)
    for title in titles:
        assert f"{title} (20)" in text
    assert f"The number in front {rank}" in text


def test_figures(page):
    assert page.tags.count("svg") == 4  # scores, votes, length, loss


@pytest.mark.usefixtures("without_figures")
def test_run_without_extras():
    page = Page(selection_page(bare_run()))
    assert page.tags.count("svg") == 2
    text = squeeze(page.text)
    assert "Warning" not in text
    assert "votes" not in text
    assert "None" not in text
    assert "Budget: 5,000 tokens" in text
    assert "leakage into them was not looked for" in text
    assert "the scores were taken at the start of LoRA" in text
    assert "shortlisted" not in text


@pytest.mark.usefixtures("without_figures")
def test_no_texts_and_no_sample():
    result = selection_values()
    result["texts"] = {"best": [], "cut": [], "worst": []}
    empty = {"tokens": [], "score": [], "selected": []}
    result["distributions"]["length_score"] = empty
    result |= {"sources": [], "stages": []}
    page = Page(selection_page(record(result)))
    assert page.text.count("None.") == 3
    assert page.tags.count("svg") == 3


@pytest.mark.usefixtures("without_figures")
def test_long_lists_of_duplicates_are_cut():
    result = selection_values()
    result["duplicates"]["within"] = duplicates(0, 72, "a", "b")
    text = squeeze(Page(selection_page(record(result))).text)
    assert "72 in a run of 13 words" in text
    assert "52 more are not shown." in text


def test_a_file_is_the_same(page, tmp_path):
    path = tmp_path / "report.html"
    write_selection_page(selection_run(), path)
    assert path.read_text(encoding="utf-8") == page.source
