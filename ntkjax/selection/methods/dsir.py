"""DSIR: importance weights of hashed words and pairs of words (arXiv 2302.03169).

    log w(x) = Σ_b c_b(x) · [log(p_target,b + ε) − log(p_raw,b + ε)],   ε = 1e-8

c_b(x) counts the words and pairs of neighboring words of x, in lower case, whose hash
is b; p_target and p_raw are the shares of each b among all words and pairs of the
target and of the candidates. The sum is not divided by the length of x, as in the
paper: long texts get weights far from 1.
"""

import functools
import hashlib
import itertools
import re
from collections.abc import Callable, Iterable, Sequence

import numpy as np
from jaxtyping import Float64, Int64

from ntkjax.data.examples import Example, text_of
from ntkjax.math.seeds import stream
from ntkjax.selection.methods.method import Facts, Method, Words
from ntkjax.selection.passes import Counts, Pass
from ntkjax.selection.problem import Outline, Problem, Scored


EPSILON = 1e-8
_WORD = re.compile(r"\w+|[^\w\s]+")
_HASHES_KEPT = 2**18

Buckets = Callable[[Example], Int64[np.ndarray, " c"]]


def score(problem: Problem) -> Scored:
    """The log weight of each candidate; with `dsir.sample` plus Gumbel noise.

    With the noise the order is that of a draw without replacement in proportion to w,
    and the scores are the perturbed ones. Cost: candidates are read and hashed twice;
    memory: a number for each bucket.
    """
    options = problem.options.dsir
    weights = log_weights(problem.target, problem.candidates.texts, options.buckets)
    facts = {
        "buckets": options.buckets,
        "sample": options.sample,
        "log_weight_mean": float(weights.mean()),
        "log_weight_std": float(weights.std()),
    }
    if options.sample:
        rng = np.random.default_rng(stream(problem.seed, "dsir"))
        weights = weights + rng.gumbel(size=len(weights))
    return Scored(weights, facts=facts)


def log_weights(
    target: Sequence[Example],
    texts: Callable[[], Iterable[list[Example]]],
    num_buckets: int,
) -> Float64[np.ndarray, " k"]:
    """The log weight log w of every text.

    Args:
        target: Examples of the target.
        texts: Gives the candidates in blocks; it is called twice.
        num_buckets: Hash buckets.
    """
    buckets = hashed_ngrams(num_buckets)
    ratio = _log_shares([target], buckets, num_buckets)
    ratio -= _log_shares(texts(), buckets, num_buckets)
    return np.array(
        [ratio[buckets(example)].sum() for block in texts() for example in block]
    )


def hashed_ngrams(num_buckets: int) -> Buckets:
    """A function: an example to the bucket of each of its words and pairs of words.

    The bucket of a word is its SHA-256 modulo `num_buckets`; a pair is hashed as two
    words with a space between them.
    """

    @functools.lru_cache(_HASHES_KEPT)
    def bucket(ngram: str) -> int:
        digest = hashlib.sha256(ngram.encode()).digest()
        return int.from_bytes(digest, "big") % num_buckets

    def buckets(example: Example) -> Int64[np.ndarray, " c"]:
        return np.array([bucket(ngram) for ngram in ngrams(text_of(example))], np.int64)

    return buckets


def ngrams(text: str) -> list[str]:
    """Words, then pairs of words; a run of punctuation is a word.

    >>> ngrams("Pay $5, now")
    ['pay', '$', '5', ',', 'now', 'pay $', '$ 5', '5 ,', ', now']
    """
    words = _WORD.findall(text.lower())
    pairs = itertools.pairwise(words)
    return words + [f"{first} {second}" for first, second in pairs]


def _log_shares(
    blocks: Iterable[Sequence[Example]], buckets: Buckets, num_buckets: int
) -> Float64[np.ndarray, " B"]:
    """log(p_b + ε) of a corpus."""
    counts = np.zeros(num_buckets, np.int64)
    for block in blocks:
        for example in block:
            np.add.at(counts, buckets(example), 1)
    return np.log(counts / counts.sum() + EPSILON)


def passes(outline: Outline, counts: Counts) -> list[Pass]:
    """The words of every candidate, hashed twice: for all shares, then for each."""
    return [Pass("hashes", None, counts.scored, hashed_texts=2)]


_DRAW = (
    " Gumbel noise is added, which makes the order a random draw without replacement "
    "in proportion to the weights."
)


def _names(facts: Facts) -> Facts:
    """What is said of the noise, where there is any."""
    return {
        "noise": ", with random noise" if facts["sample"] else "",
        "draw": _DRAW if facts["sample"] else "",
    }


METHOD = Method(
    "dsir",
    "DSIR: importance weights of hashed words and pairs of words",
    score,
    passes,
    words=Words(
        "importance weight of their words, target against candidates{noise} (DSIR)",
        "The logarithm of an importance weight: for each word and pair of neighboring "
        "words of the example, by hash bucket, log of its share in the target minus "
        "log of its share in all candidates, summed.{draw}",
        reads_model=False,
        names=_names,
        labels={
            "buckets": "hash buckets",
            "sample": "drawn in proportion to the weights",
            "log_weight_mean": "mean log weight",
            "log_weight_std": "standard deviation of the log weights",
        },
    ),
    flags=("dsir",),
    warmup="none",
)
