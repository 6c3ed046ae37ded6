"""Loss: candidates that the model finds hard come first.

    score(x) = ℓ(x)

It knows nothing of the target: a control for methods that do.
"""

import numpy as np

from ntkjax.data.tokenizing import TokenizedExample
from ntkjax.devices.mesh import replicate
from ntkjax.outputs.loss import Loss
from ntkjax.passes.loss_gradients import losses
from ntkjax.selection.methods.method import Method, Words
from ntkjax.selection.passes import Counts, Pass, over_candidates
from ntkjax.selection.problem import Advance, Outline, Problem, Scored


def score(problem: Problem) -> Scored:
    """Losses at the end of the warm-up. Cost: F for each candidate.

    Raises:
        InputError: If a loss is not finite; the example is named.
    """
    held = Loss(problem.model), problem.snapshot.theta
    f, theta = replicate(held, problem.batching.mesh)

    def compute(
        examples: list[TokenizedExample], advance: Advance
    ) -> dict[str, np.ndarray]:
        return {"loss": losses(f, theta, examples, problem.batching, advance)}

    decides = {"snapshot": problem.snapshot.identity}
    found = problem.candidates.compute("losses", decides, compute).column("loss")
    scores = found.astype(np.float64)
    return Scored(scores, facts={"mean_loss": float(scores.mean())})


def passes(outline: Outline, counts: Counts) -> list[Pass]:
    """The losses of the candidates."""
    return [over_candidates("scores", "loss", counts, row_bytes=4)]


METHOD = Method(
    "loss",
    "the highest loss",
    score,
    passes,
    words=Words(
        "loss",
        "The model's mean negative log-likelihood of the tokens of the example's "
        "response. The target plays no part in it.",
        reads_target=False,
        labels={
            "mean_loss": "mean loss of the candidates",
        },
    ),
    warmup="none",
    gives=(),
)
