import jinja2
import pytest
from markupsafe import Markup

from ntkjax.reports import templates
from ntkjax.reports.templates import render


@pytest.fixture
def template(monkeypatch):
    """A function that renders a template from its text."""

    def rendered(text, **values):
        monkeypatch.setattr(templates, "_source", lambda name: text)
        templates._environment.cache_clear()
        return render("any", **values)

    yield rendered
    templates._environment.cache_clear()


def test_foreign_text_is_made_visible_and_escaped(template):
    assert template("{{ x }}", x="<b>\u202e") == "&lt;b&gt;⟨U+202E⟩"
    assert template("{% for x in xs %}{{ x }}{% endfor %}", xs=["\x1b"]) == "⟨U+001B⟩"


def test_figures_and_macros_are_inserted_as_they_are(template):
    assert template("{{ x }}", x=Markup("<svg/>")) == "<svg/>"
    macro = "{% macro m(x) %}<i>{{ x }}</i>{% endmacro %}{{ m(x) }}"
    assert template(macro, x="<") == "<i>&lt;</i>"


def test_filters(template):
    assert template("{{ 12345 | whole }} {{ 0.25 | percent }}") == "12,345 25.0%"


def test_a_missing_value_is_an_error(template):
    with pytest.raises(jinja2.UndefinedError, match="result"):
        template("{{ result }}")


def test_templates_share_one_style():
    style = templates._source("style.css")
    assert "prefers-color-scheme: dark" in style
    for page in ("fidelity/page.html.j2", "selection/page.html.j2"):
        assert '{% include "style.css" %}' in templates._source(page)
