"""What one row of the table of methods holds."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ntkjax.selection.passes import Counts, Pass
from ntkjax.selection.pickers.table import Need
from ntkjax.selection.problem import Outline, Problem, Request, Scored


Facts = dict[str, Any]
"""What a method said of a run: `Scored.facts`."""


@dataclass(frozen=True)
class Words:
    """How a report speaks of a method.

    Texts hold names of facts, or of `names`, in braces, with `:whole`, `:percent` or
    `:error` for how a number is written; `ntkjax.reports.selection.words` fills them.

    Attributes:
        score: Its score, to stand after "those with the highest".
        definition: The score in one or two exact sentences.
        highest: Those that score highest, where plainer words than the above exist.
        reads_model: Whether its scores come from the model.
        reads_target: Whether they come from the target.
        names: More names for the texts, from the facts.
        finding: What the facts come to, as such a text; None for nothing.
        glossary: What words of its own mean, given the facts.
        labels: What facts are called, by dotted key, in the order of the report.
    """

    score: str
    definition: str
    highest: str = "those with the highest {score}"
    reads_model: bool = True
    reads_target: bool = True
    names: Callable[[Facts], Facts] = lambda facts: {}
    finding: Callable[[Facts], str | None] = lambda facts: None
    glossary: Callable[[Facts], dict[str, str]] = lambda facts: {}
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Method:
    """One way to score candidates.

    Attributes:
        name: As in `--method`.
        summary: One line for `--help`.
        score: The method.
        passes: What it runs over which examples.
        words: How a report speaks of it.
        warmup: What the model is warmed up on by default: target, pool or none.
        shortlist: Which candidates it scores by default: vote or none (all).
        picker: Its picker by default.
        refuse: Refuses what cannot be on any model, before any file is opened.
        check: Refuses what cannot be on this model, before any weight is read.
        flags: Settings that say something for it and for few others.
        is_disjoint: Whether no example that it looks at may be in the pool.
        gives: What it has for pickers beyond scores: rankings (of its own, or by being
            asked once for each group of the target), features.
        feature_width: Numbers of the features of a candidate; by default those of an
            embedding.
        feature_program: What computes the features of the candidates that a picker
            compares, as `Pass.program`; None where they are read from a kept pass.
        ranks_itself: Whether it has rankings where the target names no groups.
        uses_groups: Whether groups of the target decide its scores or rankings.
    """

    name: str
    summary: str
    score: Callable[[Problem], Scored]
    passes: Callable[[Outline, Counts], list[Pass]]
    words: Words
    warmup: str
    shortlist: str = "none"
    picker: str = "top"
    refuse: Callable[[Request], None] = lambda request: None
    check: Callable[[Outline], None] = lambda outline: None
    flags: tuple[str, ...] = ()
    is_disjoint: bool = False
    gives: tuple[Need, ...] = ("rankings",)
    feature_width: Callable[[Outline], int] = lambda outline: outline.config.hidden_size
    feature_program: str | None = None
    ranks_itself: bool = False
    uses_groups: bool = False

    @property
    def validates(self) -> bool:
        """Whether it looks at validation examples, perhaps a part of the target."""
        return "validation" in self.flags


def no_passes(outline: Outline, counts: Counts) -> list[Pass]:
    """Of a method that looks at no text: none."""
    return []
