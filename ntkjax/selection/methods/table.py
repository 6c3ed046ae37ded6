"""The table of methods: a name, a line of help, a function, and what goes with it."""

from collections.abc import Callable
from dataclasses import dataclass

from ntkjax.errors import InputError
from ntkjax.selection.methods import (
    cosine,
    dsir,
    dualsft,
    embedding,
    fisher,
    gradient_dot,
    length_matched,
    less,
    loss,
    ntk,
    random_choice,
    rds,
    vote,
)
from ntkjax.selection.pickers.table import Need
from ntkjax.selection.problem import Problem, Prospect, Scored


@dataclass(frozen=True)
class Method:
    """One way to score candidates.

    Attributes:
        name: As in `--method`.
        summary: One line for `--help`.
        score: The method.
        warmup: What the model is warmed up on by default: target, pool or none.
        shortlist: Which candidates it scores by default: vote or none (all).
        picker: Its picker by default.
        check: Refuses what cannot be, before any work is done.
        gives: What it has for pickers beyond scores: rankings (of its own, or by being
            asked once for each group of the target), features.
        ranks_itself: Whether it has rankings where the target names no groups.
        uses_groups: Whether groups of the target decide its scores or rankings.
    """

    name: str
    summary: str
    score: Callable[[Problem], Scored]
    warmup: str
    shortlist: str = "none"
    picker: str = "top"
    check: Callable[[Prospect], None] = lambda prospect: None
    gives: tuple[Need, ...] = ("rankings",)
    ranks_itself: bool = False
    uses_groups: bool = False


METHODS = {
    method.name: method
    for method in (
        Method(
            "ntk",
            "NTK-Selector: tangent kernel with the target, after a vote",
            ntk.score,
            check=ntk.check,
            warmup="target",
            shortlist="vote",
        ),
        Method(
            "dualsft",
            "DualSFT: rows of the gradient interaction matrix; a mask, too",
            dualsft.score,
            check=dualsft.check,
            warmup="pool",
            gives=(),
        ),
        Method(
            "less",
            "LESS: cosine of Adam updates along the warm-up, best sub-task",
            less.score,
            check=less.check,
            uses_groups=True,
            warmup="pool",
            gives=("rankings", "features"),
        ),
        Method(
            "rds",
            "RDS+: weighted embeddings, each target example in turn",
            rds.score,
            warmup="none",
            picker="round-robin",
            gives=("rankings", "features"),
            ranks_itself=True,
            uses_groups=True,
        ),
        Method(
            "dsir",
            "DSIR: importance weights of hashed words and pairs of words",
            dsir.score,
            warmup="none",
        ),
        Method(
            "vote",
            "votes of the target's nearest neighbors by embedding",
            vote.score,
            warmup="none",
            gives=("rankings", "features"),
        ),
        Method(
            "embedding",
            "mean cosine of embeddings with the target",
            embedding.score,
            warmup="none",
            gives=("rankings", "features"),
        ),
        Method(
            "gradient-dot",
            "inner product of loss gradients with the target's mean",
            gradient_dot.score,
            warmup="pool",
        ),
        Method(
            "cosine",
            "mean cosine of loss gradients with the target's",
            cosine.score,
            warmup="pool",
            gives=("rankings", "features"),
        ),
        Method(
            "fisher",
            "the same inner product, divided by the Fisher diagonal",
            fisher.score,
            warmup="pool",
        ),
        Method(
            "loss",
            "the highest loss",
            loss.score,
            warmup="none",
            gives=(),
        ),
        Method(
            "random",
            "a random draw",
            random_choice.score,
            warmup="none",
            gives=(),
        ),
        Method(
            "length-matched",
            "a random draw whose lengths are those of the target",
            length_matched.score,
            warmup="none",
        ),
    )
}


def named_method(name: str) -> Method:
    """The method of this name.

    Raises:
        InputError: If there is none.
    """
    if name not in METHODS:
        raise InputError(f"--method {name}: expected one of {', '.join(METHODS)}.")
    return METHODS[name]
