"""Embedding similarity: score(x) = (1/n) Σ_i cos(h̄(d_i), h̄(x))."""

from ntkjax.selection.embedding_pass import cosine_passes, embedded
from ntkjax.selection.methods.method import Method, Words
from ntkjax.selection.problem import Problem, Scored


def score(problem: Problem) -> Scored:
    """The mean cosine to the target examples; zero vectors have cosine 0.

    Its features are the embeddings, of length 1. Cost: F per example.

    Raises:
        InputError: If an embedding is not finite; the example is named.
    """
    pooling = problem.options.embedding
    found = embedded(problem, pooling)
    return Scored(
        found.votes(num_neighbors=1).similarity,
        features=found.features,
        facts={"pooling": pooling},
    )


METHOD = Method(
    "embedding",
    "mean cosine of embeddings with the target",
    score,
    cosine_passes,
    words=Words(
        "mean cosine of embeddings with the target examples",
        "The cosine of the example's embedding, a mean of final hidden states, with "
        "that of a target example, averaged over the target examples.",
        labels={
            "pooling": "tokens that an embedding averages",
        },
    ),
    flags=("embedding",),
    warmup="none",
    gives=("rankings", "features"),
)
