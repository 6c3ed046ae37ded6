"""DualSFT: which examples and which parameters help the validation loss.

    score(x) = ⟨m⊙û, ∇ℓ(x)⟩,   û = v − κ c⊙Ḡ

from the rows of the matrix û_j g_nj, with m = 1 unless the order says that parameters
come first; a mask of parameters comes from its columns (arXiv 2605.06166). The target
is the validation set. Differs from the paper's code: rows are exact for every
parameter, where it leaves embeddings, norms and a tied head out and scores the best
anew; nothing is rounded to half precision.
"""

import hashlib
from typing import Any

import numpy as np
from jaxtyping import Float64

from ntkjax.checkpoints.mask import Mask, count_kept
from ntkjax.errors import InputError, setting
from ntkjax.math.trees import dot
from ntkjax.models.language_model import split_model
from ntkjax.passes.gradient_sums import HostTree
from ntkjax.selection.dualsft.rescoring import Choice, Sides, alternate
from ntkjax.selection.dualsft.response import (
    candidates_gradient,
    check_response,
    second_order_facts,
    validation_response,
)
from ntkjax.selection.loss_passes import candidate_products, fisher_pass
from ntkjax.selection.masks import check_mask_budget, is_asked_for, mask_of
from ntkjax.selection.methods.method import Facts, Method, Words
from ntkjax.selection.passes import Counts, Pass, on_target, over_candidates
from ntkjax.selection.problem import Outline, Problem, Request, Scored


def score(problem: Problem) -> Scored:
    """Row scores at the end of the warm-up, with column scores and a mask beside them.

    Cost: F + B for each candidate once, 2 F for each of its row scores (once, and once
    more for every round); with another order than one-shot, or rounds, F + B for each
    chosen one. All of it is kept: another budget of one-shot costs nothing.

    Raises:
        InputError: If a number is not finite.
    """
    response = validation_response(problem)
    mean_gradient = candidates_gradient(problem)

    def rows(direction: HostTree, mask: Mask | None) -> Float64[np.ndarray, " k"]:
        own = {} if mask is None else {"mask": _mask_hash(mask)}
        return candidate_products(problem, direction, response.decides | own)

    def cut(scores: HostTree) -> Mask | None:
        wanted = is_asked_for(problem.options.mask)
        return mask_of(scores, problem.options.mask) if wanted else None

    sides = Sides(
        response.surrogate,
        mean_gradient,
        rows,
        problem.pick,
        lambda positions: candidates_gradient(problem, positions),
        cut,
    )
    options = problem.options.dualsft
    choice, records = alternate(sides, options.order, options.rounds)
    data, parameters = choice
    facts = {
        **response.facts,
        **second_order_facts(response.surrogate, mean_gradient),
        **_choice_facts(choice, mean_gradient),
        "order": options.order,
        **{name: records[-1][name] for name in ("I1", "I2") if records},
        "rounds": records,
    }
    kept = {f"score/{name}": leaf for name, leaf in parameters.scores.items()}
    theta = problem.snapshot.theta
    kept |= {f"theta/{name}": np.asarray(leaf) for name, leaf in theta.items()}
    return Scored(data.scores, facts=facts, parameters=kept, mask=parameters.mask)


def refuse(request: Request) -> None:
    """Raises `InputError` for options that contradict each other."""
    options = request.options.dualsft
    check_response(options, has_moments=request.has_moments)
    if is_asked_for(request.options.mask):
        return
    for name, plain in (("order", "one-shot"), ("rounds", 0)):
        if getattr(options, name) != plain:
            raise InputError(
                f"needs a mask; give {setting('mask.share')} or "
                f"{setting('mask.budget')}.",
                field=f"dualsft.{name}",
                value=getattr(options, name),
            )


def check(outline: Outline) -> None:
    """Raises `InputError` for a mask that the model has not enough parameters for."""
    if is_asked_for(outline.options.mask):
        _, theta, _ = split_model(outline.config, outline.lora)
        shapes = {name: leaf.shape for name, leaf in theta.items()}
        check_mask_budget(shapes, outline.options.mask)


def _choice_facts(choice: Choice, mean_gradient: HostTree) -> dict[str, Any]:
    """Sizes, and whether rows and columns share the same total out.

    The mean of the rows and the sum of the columns of (m⊙û)_j g_nj are the same number
    but for rounding, for whatever mask the rows were scored under.
    """
    data, parameters = choice
    columns, rows = dot(data.direction, mean_gradient), float(np.mean(data.scores))
    mask = parameters.mask
    return {
        "num_parameters": sum(leaf.size for leaf in parameters.scores.values()),
        "mask_parameters": None if mask is None else count_kept(mask),
        "num_chosen": len(data.chosen),
        "completeness": {
            "columns": columns,
            "rows": rows,
            "difference": rows - columns,
        },
    }


def _mask_hash(mask: Mask) -> str:
    total = hashlib.sha256()
    for name in sorted(mask):
        total.update(name.encode())
        total.update(np.packbits(mask[name]).tobytes())
    return total.hexdigest()


def passes(outline: Outline, counts: Counts) -> list[Pass]:
    """Both sides of every round; Ḡ_S where an order or a round needs it."""
    options, kept = outline.options.dualsft, 4 * counts.theta
    found = [on_target("gradient of the target", "loss gradient", counts)]
    if options.kappa and options.curvature == "fisher":
        found.insert(0, fisher_pass(outline, counts))
    if options.lambda_prior:
        drawn = min(options.anchors, counts.scored)
        found.append(Pass("confidence of anchors", "loss", drawn))
        found.append(Pass("divergence at anchors", "divergence", drawn))
    times = 1 + options.rounds
    found.append(
        over_candidates(
            "gradient of the pool", "loss gradient", counts, shard_bytes=kept
        )
    )
    found.append(
        over_candidates("scores", "loss product", counts, repeats=times, row_bytes=4)
    )
    if options.order != "one-shot" or options.rounds:
        found.append(
            Pass(
                "gradient of the chosen",
                "loss gradient",
                counts.chosen,
                is_shared=True,
                repeats=times,
                shard_bytes=kept,
            )
        )
    return found


def _names(facts: Facts) -> Facts:
    """What is to fall, as far as its weights are not zero; the mask's share."""
    number, kept = facts["validation_examples"], facts["mask_parameters"]
    examples = "validation example" if number == 1 else "validation examples"
    parts = {
        "lambda_new": f"the loss of {number:,} {examples}",
        "lambda_prior": "the divergence from the model before its warm-up",
    }
    return {
        "objective": " plus ".join(w for name, w in parts.items() if facts[name]),
        "mask_share": None if kept is None else kept / facts["num_parameters"],
    }


def _finding(facts: Facts) -> str:
    """How much the mask keeps, and how much the second order adds."""
    mask = "No mask of the {num_parameters:whole} parameters was asked for."
    if facts["mask_parameters"] is not None:
        mask = (
            "The mask keeps {mask_parameters:whole} of {num_parameters:whole} "
            "parameters ({mask_share:percent})."
        )
    if not facts["kappa"] or facts["second_to_first"] is None:
        return mask
    return (
        f"{mask} The second-order term is {{second_to_first:error}} times as long as "
        "the first-order one."
    )


def _glossary(facts: Facts) -> dict[str, str]:
    """Gains, scores of parameters and, after rounds, the Jaccard index."""
    meanings = {
        "I1, I2": (
            "The fall that one step on the chosen examples, in the parameters that the "
            "mask keeps, is predicted to bring, per unit of step size: to first order, "
            "and with the curvature c."
        ),
        "Scores of parameters": (
            "The entries of û⊙Ḡ, where Ḡ belongs to the chosen examples if the mask "
            "was chosen for them. With that of all candidates, and over the parameters "
            "in which the examples were scored, they sum to the mean of the examples' "
            "scores but for rounding."
        ),
    }
    if len(facts["rounds"]) > 1:
        meanings["Jaccard"] = (
            "What a choice and that of the round before have in common, as a share of "
            "what either has: 1 the same, 0 nothing."
        )
    return meanings


_LABELS = {
    "order": "order of both sides",
    "validation_examples": "validation examples",
    "num_chosen": "examples chosen",
    "mask_parameters": "parameters that the mask keeps",
    "num_parameters": "parameters in all",
    "I1": "I1, predicted fall to first order",
    "I2": "I2, predicted fall to second order",
    "completeness.rows": "mean of the examples' scores",
    "completeness.columns": "sum of û⊙Ḡ over the parameters",
    "completeness.difference": "difference of these two",
    "first_order_norm": "length of v, the first-order term",
    "second_order_norm": "length of κ c⊙Ḡ, the second-order term",
    "second_to_first": "second-order term over first-order term",
    "new_gradient_norm": "length of the validation gradient",
    "prior_gradient_norm": "length of the divergence gradient",
    "mean_gradient_norm": "length of Ḡ, the candidates' mean gradient",
    "lambda_new": "λ of the validation gradient",
    "lambda_prior": "λ of the divergence gradient",
    "kappa": "κ",
    "curvature": "curvature c",
    "anchors": "anchors of the divergence",
    "mean_confidence": "mean confidence in the anchors",
    "rounds": "Both sides in turn, round by round",
    "round": "round",
    "jaccard_data": "Jaccard of the examples",
    "jaccard_parameters": "Jaccard of the parameters",
}

METHOD = Method(
    "dualsft",
    "DualSFT: rows of the gradient interaction matrix; a mask, too",
    score,
    passes,
    words=Words(
        "share of the predicted fall in {objective} (DualSFT)",
        "The inner product of an example's loss gradient with û = v − κ c⊙Ḡ. Here v "
        "is the gradient of {objective}, weighted by the λs; c is a diagonal "
        "curvature, Ḡ the mean loss gradient of all candidates; outside a mask that "
        "was chosen before the examples û is zero. The mean of all scores is the fall "
        "that one step on all candidates is predicted to bring, per unit of step size.",
        highest="those with the largest shares of the predicted fall in {objective} "
        "(DualSFT)",
        names=_names,
        finding=_finding,
        glossary=_glossary,
        labels=_LABELS,
    ),
    flags=("fisher", "dualsft", "mask", "validation", "validation_share"),
    is_disjoint=True,
    refuse=refuse,
    check=check,
    warmup="pool",
    gives=(),
)
