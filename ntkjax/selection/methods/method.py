"""What one row of the table of methods holds."""

from collections.abc import Callable
from dataclasses import dataclass

from ntkjax.selection.passes import Counts, Pass
from ntkjax.selection.pickers.table import Need
from ntkjax.selection.problem import Outline, Problem, Scored


@dataclass(frozen=True)
class Method:
    """One way to score candidates.

    Attributes:
        name: As in `--method`.
        summary: One line for `--help`.
        score: The method.
        passes: What it runs over which examples.
        warmup: What the model is warmed up on by default: target, pool or none.
        shortlist: Which candidates it scores by default: vote or none (all).
        picker: Its picker by default.
        check: Refuses what cannot be, before any weight is read.
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
    warmup: str
    shortlist: str = "none"
    picker: str = "top"
    check: Callable[[Outline], None] = lambda outline: None
    gives: tuple[Need, ...] = ("rankings",)
    feature_width: Callable[[Outline], int] = lambda outline: outline.config.hidden_size
    feature_program: str | None = None
    ranks_itself: bool = False
    uses_groups: bool = False


def no_passes(outline: Outline, counts: Counts) -> list[Pass]:
    """Of a method that looks at no text: none."""
    return []
