"""A random draw with the target's lengths: is it more than length that a method finds?

Lengths in tokens are binned at the target's deciles e_1 ≤ … ≤ e_10 (the last is its
longest): up to its shortest less one, between neighboring deciles, above its longest.
With B bins, n_b of n target examples and k_b of k candidates in bin b,

    log w_b = log((n_b + 1/B) / (n + 1)) − log((k_b + 1/B) / (k + 1)):

one example more on each side, spread over the bins, keeps empty bins finite.
"""

import numpy as np
from jaxtyping import Float64, Int, Int64

from ntkjax.math.seeds import stream
from ntkjax.selection.methods.method import Method, Words, no_passes
from ntkjax.selection.problem import Problem, Scored


def score(problem: Problem) -> Scored:
    """The logarithm of the weight of the candidate's bin, plus Gumbel noise.

    The order is that of a draw without replacement in proportion to w: the lengths of
    the first ones are distributed as the target's, until candidates of such lengths run
    out. Within a bin all candidates are equal. Cost: none.
    """
    target = np.array([len(example.tokens) for example in problem.target_tokens])
    tokens = problem.candidates.lengths()
    edges = length_edges(target)
    rng = np.random.default_rng(stream(problem.seed, "length-matched"))
    noise = rng.gumbel(size=len(tokens))
    return Scored(
        log_weights(target, tokens, edges) + noise,
        facts={
            "edges": edges.tolist(),
            "target_mean_tokens": float(target.mean()),
            "candidates_mean_tokens": float(tokens.mean()),
        },
    )


def length_edges(target: Int[np.ndarray, " n"]) -> Int64[np.ndarray, " e"]:
    """The last length of each bin but the one above the longest; ascending, distinct.

    >>> length_edges(np.array([5, 5, 9])).tolist()
    [4, 5, 9]
    """
    deciles = np.quantile(target, np.linspace(0.1, 1, 10), method="inverted_cdf")
    return np.unique([target.min() - 1, *deciles]).astype(np.int64)


def log_weights(
    target: Int[np.ndarray, " n"],
    candidates: Int[np.ndarray, " k"],
    edges: Int64[np.ndarray, " e"],
) -> Float64[np.ndarray, " k"]:
    """The log weight of each candidate, given all lengths and the edges of the bins."""
    bins = np.searchsorted(edges, candidates)
    shares = []
    for places in (np.searchsorted(edges, target), bins):
        counts = np.bincount(places, minlength=len(edges) + 1)
        shares.append((counts + 1 / len(counts)) / (len(places) + 1))
    target_share, candidate_share = shares
    return np.log(target_share / candidate_share)[bins]


METHOD = Method(
    "length-matched",
    "a random draw whose lengths are those of the target",
    score,
    no_passes,
    words=Words(
        "weight of their length, with random noise",
        "The logarithm of a weight, the target's share of examples of such a length "
        "over that of the candidates, plus Gumbel noise: the order is a random draw "
        "without replacement in proportion to the weight.",
        highest="drawn at random so that their lengths follow the target's",
        reads_model=False,
        labels={
            "edges": "last length of each bin, in tokens",
            "target_mean_tokens": "mean tokens of the target",
            "candidates_mean_tokens": "mean tokens of the candidates",
        },
    ),
    warmup="none",
)
