"""An evaluation in a few numbers, each with a 95% bootstrap interval over examples.

Every number is a ratio of sums over examples:

    perplexity   exp(Σ NLL / Σ tokens)
    nll          the mean over examples of the NLL per token
    accuracy     the share of right predictions, length-normalized or summed
    exact match  the share of generated answers that are the response

Overall and for each source. Examples are drawn with replacement, the same draws for all
numbers that rest on the same number of examples.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float64

from ntkjax.evaluation.evaluate import Evaluation
from ntkjax.math.bootstrap import Estimate, bootstrap_rows, estimate


RESAMPLES = 1000

_DRAWS_AT_ONCE = 2**22


@dataclass(frozen=True)
class Summary:
    """Numbers of a group of examples; None where nothing was computed.

    Attributes:
        examples: Number of examples.
        tokens: Number of target tokens.
        questions: Number of examples with choices.
        perplexity: Of a target token; None also where it is beyond float64.
        nll: Mean NLL per target token.
        accuracy: By length-normalized likelihood.
        accuracy_sum: By summed likelihood.
        exact_match: Of generated answers.
    """

    examples: int
    tokens: int
    questions: int
    perplexity: Estimate | None
    nll: Estimate
    accuracy: Estimate | None
    accuracy_sum: Estimate | None
    exact_match: Estimate | None


def summarize(evaluation: Evaluation, seed: int = 0) -> Summary:
    """The numbers of all examples together."""
    return _summary(evaluation, np.ones(len(evaluation.examples), bool), seed)


def summarize_by_source(
    evaluation: Evaluation, seed: int = 0
) -> dict[str | None, Summary]:
    """The same for the examples of each source, in order of first appearance.

    Examples without a source are a group of their own, None.
    """
    sources = evaluation.sources
    return {
        source: _summary(
            evaluation, np.array([other == source for other in sources]), seed
        )
        for source in dict.fromkeys(sources)
    }


def ratio(
    numerators: Float[np.ndarray, " n"],
    denominators: Float[np.ndarray, " n"],
    seed: int,
) -> tuple[float, Float64[np.ndarray, " r"]]:
    """Σ numerators / Σ denominators, and its values on `RESAMPLES` resamples."""
    n = len(numerators)
    size = max(1, _DRAWS_AT_ONCE // n)
    seeds = np.random.SeedSequence(seed).generate_state(-(-RESAMPLES // size))
    samples = []
    for block, own_seed in enumerate(seeds.tolist()):
        number = min(size, RESAMPLES - block * size)
        rows = bootstrap_rows(n, number, own_seed)
        samples.append(numerators[rows].sum(axis=1) / denominators[rows].sum(axis=1))
    return float(numerators.sum() / denominators.sum()), np.concatenate(samples)


def _summary(evaluation: Evaluation, chosen: np.ndarray, seed: int) -> Summary:
    tokens = evaluation.tokens[chosen].astype(np.float64)
    total = evaluation.responses.nll[chosen]
    asked = chosen[evaluation.with_choices]
    answered = chosen[evaluation.with_answers]
    return Summary(
        examples=int(chosen.sum()),
        tokens=int(tokens.sum()),
        questions=int(asked.sum()),
        perplexity=_perplexity(*ratio(total, tokens, seed)),
        nll=estimate(*ratio(total / tokens, np.ones_like(tokens), seed)),
        accuracy=_share(evaluation.correct[asked], seed),
        accuracy_sum=_share(evaluation.correct_sum[asked], seed),
        exact_match=_share(evaluation.exact_matches[answered], seed),
    )


def _share(hits: np.ndarray, seed: int) -> Estimate | None:
    if not len(hits):
        return None
    return estimate(*ratio(hits.astype(np.float64), np.ones(len(hits)), seed))


def _perplexity(mean: float, samples: Float64[np.ndarray, " r"]) -> Estimate | None:
    with np.errstate(over="ignore"):
        value, found = np.exp(mean), np.exp(samples)
    if not np.isfinite([value, *found]).all():
        return None
    return estimate(float(value), found)
