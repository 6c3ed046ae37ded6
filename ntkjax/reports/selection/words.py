"""What a page says of each method: which examples it takes, and what its score is.

Texts hold `{names}`, which `score_words` fills in from the record of a run.
"""

from dataclasses import dataclass, replace

from ntkjax.reports.numbers import whole_text
from ntkjax.selection.result import SelectionResult


@dataclass(frozen=True)
class Words:
    """How to speak of a method.

    Attributes:
        score: Its score, to stand after "those with the highest".
        definition: The score in one or two exact sentences.
        highest: Those that score highest, where plainer words than the above exist.
        reads_model: Whether its scores come from the model.
        reads_target: Whether they come from the target.
    """

    score: str
    definition: str
    highest: str = "those with the highest {score}"
    reads_model: bool = True
    reads_target: bool = True


WORDS = {
    "ntk": Words(
        "neural tangent kernel with the domain (the {kernel} kernel, averaged over the "
        "target examples)",
        "How alike a pool example and the domain look to the model's trainable "
        "parameters: the inner product of the gradients of what the model says of "
        "either, averaged over the target examples. A high score means that a step of "
        "training on the example also changes much of what the model says about the "
        "domain.",
    ),
    "dualsft": Words(
        "share of the predicted fall in {objective} (DualSFT)",
        "The inner product of an example's loss gradient with û = v − κ c⊙Ḡ. Here v "
        "is the gradient of {objective}, weighted by the λs; c is a diagonal "
        "curvature, Ḡ the mean loss gradient of all candidates; outside a mask that "
        "was chosen before the examples û is zero. The mean of all scores is the fall "
        "that one step on all candidates is predicted to bring, per unit of step size.",
        highest="those with the largest shares of the predicted fall in {objective} "
        "(DualSFT)",
    ),
    "less": Words(
        "mean cosine of their {candidate} with the target's loss gradients"
        "{checkpoints} (LESS)",
        "The cosine of the example's {one_candidate} with the loss gradient of a "
        "target example, both sketched; averaged over {weighting}the target examples "
        "of a group, then the highest over the groups. A target without groups is one "
        "group.",
        highest="those whose {candidate} point most along the target's loss gradients"
        "{checkpoints} (LESS)",
    ),
    "rds": Words(
        "cosine of position-weighted embeddings with the target (RDS+)",
        "The cosine of the example's embedding with that of the target example nearest "
        "to it. An embedding is the mean of the final hidden states, those of later "
        "tokens weighing more, in proportion to their position.",
        highest="those whose position-weighted embeddings are nearest to that of some "
        "target example (RDS+)",
    ),
    "dsir": Words(
        "importance weight of their words, target against candidates{noise} (DSIR)",
        "The logarithm of an importance weight: for each word and pair of neighboring "
        "words of the example, by hash bucket, log of its share in the target minus "
        "log of its share in all candidates, summed.{draw}",
        reads_model=False,
    ),
    "vote": Words(
        "number of votes of the target's nearest neighbors",
        "The number of target examples that have the example among their {neighbors} "
        "nearest candidates by embedding, plus (1 + its mean cosine with the target) / "
        "4, which is below 1 and decides among equal votes only.",
        highest="those that most target examples have among their {neighbors} nearest "
        "by embedding",
    ),
    "embedding": Words(
        "mean cosine of embeddings with the target examples",
        "The cosine of the example's embedding, a mean of final hidden states, with "
        "that of a target example, averaged over the target examples.",
    ),
    "gradient-dot": Words(
        "inner product of their loss gradient with the target's mean one",
        "The inner product of the example's loss gradient with the mean loss gradient "
        "of the target. To first order, a step of plain gradient descent on the "
        "example lowers the target's mean loss by the step size times the score.",
    ),
    "cosine": Words(
        "mean cosine of their loss gradient with those of the target examples",
        "The cosine of the example's loss gradient with that of a target example, "
        "averaged over the target examples; 0 for a gradient that is zero.",
    ),
    "fisher": Words(
        "inner product of their loss gradient with the target's mean one, divided by "
        "the Fisher diagonal",
        "The inner product of the example's loss gradient with the mean loss gradient "
        "of the target, each coordinate divided by the mean squared gradient of "
        "candidates plus the damping. To first order it is what a natural-gradient "
        "step on the example lowers the target's mean loss by, per unit of step size.",
    ),
    "loss": Words(
        "loss",
        "The model's mean negative log-likelihood of the tokens of the example's "
        "response. The target plays no part in it.",
        reads_target=False,
    ),
    "random": Words(
        "random number",
        "A random number between 0 and 1, decided by the seed and the example's place "
        "among the candidates. Neither target nor model plays a part in it.",
        highest="drawn at random",
        reads_model=False,
        reads_target=False,
    ),
    "length-matched": Words(
        "weight of their length, with random noise",
        "The logarithm of a weight, the target's share of examples of such a length "
        "over that of the candidates, plus Gumbel noise: the order is a random draw "
        "without replacement in proportion to the weight.",
        highest="drawn at random so that their lengths follow the target's",
        reads_model=False,
    ),
}


def score_words(result: SelectionResult) -> Words:
    """The words of the run's method, with every name filled in."""
    words, names = WORDS[result.method], _names(result)
    score = words.score.format_map(names)
    return replace(
        words,
        score=score,
        definition=words.definition.format_map(names),
        highest=words.highest.format_map({**names, "score": score}),
    )


def count_noun(number: int, noun: str) -> str:
    """A number and what it counts, such as `1 step`, `1,200 steps`."""
    return f"{whole_text(number)} {noun}{'' if number == 1 else 's'}"


def _names(result: SelectionResult) -> dict[str, str]:
    facts = result.method_facts
    names = {"kernel": str(result.kernel)}
    if result.method == "dualsft":
        names["objective"] = _objective(result)
    if result.method == "less":
        names |= _less_names(facts)
    if result.method == "dsir":
        names["noise"] = ", with random noise" if facts["sample"] else ""
        names["draw"] = _DRAW if facts["sample"] else ""
    if result.method == "vote":
        names["neighbors"] = whole_text(facts["neighbors"])
    return names


_DRAW = (
    " Gumbel noise is added, which makes the order a random draw without replacement "
    "in proportion to the weights."
)


def _less_names(facts: dict) -> dict[str, str]:
    several = facts["checkpoints"] > 1
    one = {
        "adam": "Adam update",
        "sgd": "loss gradient",
        "sign": "vector of gradient signs",
    }[facts["gradient"]["kind"]]
    over, by = "the checkpoints of the warm-up", "by their learning rates and over "
    return {
        "candidate": "gradient signs" if "signs" in one else f"{one}s",
        "one_candidate": one,
        "checkpoints": f", over {over}" if several else "",
        "weighting": f"{over} {by}" if several else "",
    }


def _objective(result: SelectionResult) -> str:
    """What dualsft wants to fall, as far as its weights are not zero."""
    facts = result.method_facts
    count = count_noun(result.num_aim, "validation example")
    parts = {
        "lambda_new": f"the loss of {count}",
        "lambda_prior": "the divergence from the model before its warm-up",
    }
    return " plus ".join(what for name, what in parts.items() if facts[name])
