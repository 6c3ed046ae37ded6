"""A method's own words for its scores, filled in from the record of a run."""

import string
from dataclasses import replace

from ntkjax.reports.numbers import error_text, percent_text, whole_text
from ntkjax.selection.methods.method import Words
from ntkjax.selection.methods.table import METHODS
from ntkjax.selection.result import SelectionResult


def score_words(result: SelectionResult) -> Words:
    """The words of the run's method, with every name filled in."""
    words = METHODS[result.method].words
    score = _filled(words.score, result)
    return replace(
        words,
        score=score,
        definition=_filled(words.definition, result),
        highest=_filled(words.highest, result, score=score),
    )


def method_finding(result: SelectionResult) -> str | None:
    """What the method's facts come to, in words; None where there is nothing to add."""
    text = METHODS[result.method].words.finding(result.method_facts)
    return None if text is None else _filled(text, result)


def glossary(result: SelectionResult) -> list[tuple[str, str]]:
    """What words mean that are this method's own."""
    facts = result.method_facts
    return list(METHODS[result.method].words.glossary(facts).items())


def count_noun(number: int, noun: str) -> str:
    """A number and what it counts, such as `1 step`, `1,200 steps`."""
    return f"{whole_text(number)} {noun}{'' if number == 1 else 's'}"


def _filled(text: str, result: SelectionResult, **more: str) -> str:
    facts = result.method_facts
    names = METHODS[result.method].words.names(facts)
    return _Numbers().vformat(text, (), {**facts, **names, **more})


_TEXTS = {"whole": whole_text, "percent": percent_text, "error": error_text}


class _Numbers(string.Formatter):
    """Writes numbers as the report does."""

    def format_field(self, value, format_spec: str) -> str:
        """The value as text; `format_spec` says how numbers are written."""
        return _TEXTS.get(format_spec, str)(value)
