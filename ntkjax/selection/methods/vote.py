"""The reverse nearest-neighbor vote alone: NTK-Selector's first stage as a method."""

from ntkjax.selection.embedding_pass import cosine_passes, embedded
from ntkjax.selection.methods.method import Method, Words
from ntkjax.selection.problem import Problem, Scored


def score(problem: Problem) -> Scored:
    """Votes, and the mean cosine to the target where votes are equal.

        score(x) = votes(x) + (1 + similarity(x)) / 4

    The second term is at most 1/2, so that it decides among equal votes only. K is the
    number of neighbors in the options, by default what the budget takes. Features are
    the embeddings, of length 1. Cost: F per example.

    Raises:
        InputError: If an embedding is not finite; the example is named.
    """
    pooling = problem.options.embedding
    found = embedded(problem, pooling)
    num_neighbors = problem.options.neighbors or problem.about()
    votes = found.votes(num_neighbors)
    return Scored(
        votes.votes + (1 + votes.similarity) / 4,
        features=found.features,
        facts={"pooling": pooling, "neighbors": num_neighbors},
    )


METHOD = Method(
    "vote",
    "votes of the target's nearest neighbors by embedding",
    score,
    cosine_passes,
    words=Words(
        "number of votes of the target's nearest neighbors",
        "The number of target examples that have the example among their "
        "{neighbors:whole} nearest candidates by embedding, plus (1 + its mean cosine "
        "with the target) / 4, which is below 1 and decides among equal votes only.",
        highest="those that most target examples have among their {neighbors:whole} "
        "nearest by embedding",
        labels={
            "pooling": "tokens that an embedding averages",
            "neighbors": "neighbors that a target example votes for",
        },
    ),
    flags=("embedding", "neighbors"),
    warmup="none",
    gives=("rankings", "features"),
)
