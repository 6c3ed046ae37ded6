import html.parser
import re
from dataclasses import replace

import pytest

from ntkjax.errors import InputError
from ntkjax.reports.fidelity.page import fidelity_page, write_fidelity_page
from ntkjax.reports.fidelity.tables import fidelity_headers, fidelity_sections
from ntkjax.reports.fidelity.verdict import verdict


class Page(html.parser.HTMLParser):
    """Tags, ids, table rows and text of a page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.ids, self.rows, self.text, self.cell = [], [], [], "", None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.ids += [value for name, value in attrs if name == "id"]
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
            self.cell = self.rows[-1]

    def handle_endtag(self, tag):
        if tag in ("td", "th"):
            self.cell = None

    def handle_data(self, data):
        self.text += data
        if self.cell is not None:
            self.cell[-1] += data


@pytest.fixture(scope="module")
def whole(first_run):
    """The page of the run as it is."""
    return fidelity_page(*first_run)


def with_few_kernels(result):
    """Fewer figures to draw."""
    return replace(result, kernels=result.kernels[:2], sketches=())


def squeeze(text):
    return re.sub(r"\s+", " ", text)


def test_table_agrees_with_the_record(result, whole):
    rows = Page(whole).rows
    expected = [list(fidelity_headers(result))]
    for title, cells in fidelity_sections(result):
        expected += [[title], *(list(row) for row in cells)]
    assert rows == expected


def test_opening_and_verdict(result, whole):
    text = squeeze(Page(whole).text)
    for fact in ("26,304 numbers", "12 queries", "80 candidates", "96 tokens"):
        assert fact in text
    for key in ("model", "adapter", "queries", "candidates", "pooling", "device"):
        assert getattr(result, key) in text
    for sentence in verdict(result):
        assert sentence in text
    assert "jax 0.10.1" in text


def test_no_network_no_scripts(whole):
    assert not re.search(r"https?:|//[a-z]|@import|url\((?!#)", whole)
    assert "script" not in Page(whole).tags
    assert re.findall(r'xlink:href="(?!#|data:)', whole) == []


def test_figures(result, whole):
    page = Page(whole)
    # Scores of each approximation, ranking, cost, cosines.
    assert page.tags.count("svg") == len(result.kernels) - 1 + 3
    assert len(page.ids) == len(set(page.ids))


def test_foreign_text_is_escaped(result, arrays):
    result = with_few_kernels(result)
    keys = "model", "adapter", "queries", "candidates", "pooling", "readout_note"
    keys += "readout", "device", "precision"
    evil = {key: f"<script>alert('{key}')</script>&amp;" for key in keys}
    text = fidelity_page(replace(result, **evil), arrays)
    assert "<script" not in text
    shown = Page(text).text
    for value in evil.values():
        assert value in shown


def test_kernel_names_and_versions_are_escaped(result, arrays):
    result = with_few_kernels(result)
    evil = '<img src=x onerror="a">'
    arrays[evil] = arrays["summed"]
    exact, summed, *others = result.kernels
    result = replace(
        result,
        kernels=(exact, replace(summed, name=evil), *others),
        stability=replace(result.stability, name=evil),
        versions={evil: evil},
        seconds={evil: 1.0},
    )
    text = fidelity_page(result, arrays)
    assert "<img" not in text
    assert "img" not in Page(text).tags


def test_run_without_extras(result, arrays):
    result = with_few_kernels(result)
    result = replace(result, adapter=None, stability=None, num_queries=4)
    page = Page(fidelity_page(result, arrays))
    assert "a LoRA adapter at its start" in page.text
    assert "too narrow" in page.text
    assert page.tags.count("svg") == len(result.kernels) - 1 + 3


def test_exact_kernel_alone(result, arrays):
    only = result.kernels[:1]
    result = replace(result, kernels=only, sketches=(), stability=None)
    page = Page(fidelity_page(result, arrays))
    assert "nothing to compare" in page.text
    assert page.tags.count("svg") == 1  # the cosines need no other kernel


def test_a_file_is_the_same(result, arrays, tmp_path):
    path = tmp_path / "report.html"
    write_fidelity_page(result, arrays, path)
    assert path.read_text(encoding="utf-8") == fidelity_page(result, arrays)


def test_a_missing_array_is_named(result, arrays):
    del arrays["spectral_4"]
    with pytest.raises(InputError, match=r"'spectral_4' is in fidelity\.json but"):
        fidelity_page(result, arrays)
