"""Pages from jinja2 templates: what comes from outside is escaped.

Every text that a template writes out goes through `visible` and is then escaped. Only
`Markup`, which the figures are, is inserted as it is.
"""

import functools
import importlib.resources
from typing import Any

import jinja2
from markupsafe import Markup

from ntkjax.reports.numbers import (
    error_text,
    percent_text,
    score_text,
    share_text,
    whole_text,
)
from ntkjax.reports.plain_text import excerpt, one_line, visible


FILTERS = {
    "error": error_text,
    "excerpt": excerpt,
    "one_line": one_line,
    "percent": percent_text,
    "score": score_text,
    "share": share_text,
    "whole": whole_text,
}


def render(template: str, **values: Any) -> str:
    """The page of a template in `ntkjax/reports`.

    Raises:
        jinja2.UndefinedError: If the template asks for a value that is not there.
    """
    return _environment().get_template(template).render(**values)


@functools.cache
def _environment() -> jinja2.Environment:
    """One for all pages: it keeps the templates that it has compiled."""
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_source),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_visible_text,
        trim_blocks=True,
    )
    environment.filters |= FILTERS
    return environment


def _source(name: str) -> str:
    file = importlib.resources.files("ntkjax.reports") / name
    return file.read_text(encoding="utf-8")


def _visible_text(value: Any) -> Any:
    is_foreign = isinstance(value, str) and not isinstance(value, Markup)
    return visible(value) if is_foreign else value
