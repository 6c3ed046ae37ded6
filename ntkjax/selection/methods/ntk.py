"""Kernel scores: the mean over the target of a neural tangent kernel k(d, x).

`ntkjax.passes.kernel_scores` has the formula; the kernel is `kernel`, its pooling
that of the batches.
"""

import math

import numpy as np

from ntkjax.data.tokenizing import TokenizedExample
from ntkjax.errors import InputError, setting
from ntkjax.kernels.readout import UnreadReadout, read_readout, readout_function
from ntkjax.kernels.table import check_kernel, named_kernel, num_probes
from ntkjax.math.seeds import stream
from ntkjax.models.language_model import head_obstacle
from ntkjax.passes.kernel_scores import MOST_BYTES, domain_scorer
from ntkjax.passes.loss_gradients import hash_of
from ntkjax.selection.methods.method import Method, Words
from ntkjax.selection.passes import Counts, Pass, on_target, over_candidates
from ntkjax.selection.problem import Advance, Outline, Problem, Request, Scored


def score(problem: Problem) -> Scored:
    """Scores at the end of the warm-up. Cost: F + s·F for each candidate, s probes.

    Raises:
        InputError: If the head lacks an eigenpair, or a number is not finite.
    """
    readout, seed = read_readout(problem.model, problem.vocab_size), problem.seed
    kernel = named_kernel(problem.options.kernel, readout, stream(seed, "probes"))
    base = readout_function(problem.model, readout)
    batching = problem.batching
    scorer = domain_scorer(
        base, kernel, problem.snapshot.theta, problem.target_tokens, batching
    )

    def compute(
        examples: list[TokenizedExample], advance: Advance
    ) -> dict[str, np.ndarray]:
        return {"score": scorer(examples, advance=advance)}

    decides = {
        "snapshot": problem.snapshot.identity,
        "target": hash_of(problem.target_tokens),
        "kernel": problem.options.kernel,
        "seed": problem.seed,
        "pooling": batching.pooling,
        "length_normalize": batching.length_normalize,
    }
    found = problem.candidates.compute("kernel scores", decides, compute)
    facts = {
        "kernel": problem.options.kernel,
        "probes": kernel.num_outputs,
        "readout": readout.obstacle or "linear head",
        "padded_rows": problem.model.config.vocab_size - readout.vocab_size,
    }
    return Scored(found.column("score").astype(np.float64), facts=facts)


def refuse(request: Request) -> None:
    """Raises `InputError` for a kernel that there is not, or a θ of all weights."""
    if not request.is_lora:
        raise InputError(
            "kernels of a model whose head is trained need a gradient for each entry "
            f"of the vocabulary; use {setting('parameters')} lora.",
            field="method",
            value="ntk",
        )
    check_kernel(request.options.kernel, "kernel")


def check(outline: Outline) -> None:
    """Raises `InputError` if the kernel is not possible for the model."""
    count_probes(outline)


def count_probes(outline: Outline) -> int:
    """S of the kernel of `--kernel`.

    A head is taken to have full rank: one that has not may lack an eigenpair, which is
    refused when it is read.

    Raises:
        InputError: If it is not possible for the model.
    """
    config, name = outline.config, outline.options.kernel
    obstacle = head_obstacle(config, outline.lora)
    readout = UnreadReadout(config.hidden_size, outline.vocab_size, obstacle)
    try:
        return num_probes(name, readout)
    except InputError as error:
        raise InputError(error.message, field="kernel", value=name) from error


def passes(outline: Outline, counts: Counts) -> list[Pass]:
    """The target's directions in blocks: where there are several, for every shard."""
    probes = count_probes(outline)
    size = max(1, min(probes, MOST_BYTES // (4 * counts.theta)))
    blocks = math.ceil(probes / size)
    shards = math.ceil(counts.scored / counts.rows_per_shard)
    again = 1 if blocks == 1 else blocks * shards
    directions = on_target(
        "directions of the target",
        "kernel direction",
        counts,
        outputs=size,
        repeats=again,
    )
    scores = over_candidates(
        "scores", "kernel score", counts, outputs=size, repeats=blocks, row_bytes=4
    )
    return [directions, scores]


METHOD = Method(
    "ntk",
    "NTK-Selector: tangent kernel with the target, after a vote",
    score,
    passes,
    words=Words(
        "neural tangent kernel with the domain (the {kernel} kernel, averaged over the "
        "target examples)",
        "How alike a pool example and the domain look to the model's trainable "
        "parameters: the inner product of the gradients of what the model says of "
        "either, averaged over the target examples. A high score means that a step of "
        "training on the example also changes much of what the model says about the "
        "domain.",
        labels={
            "kernel": "kernel",
            "probes": "probes: gradients per example",
            "readout": "where kernels act: through a linear head, or why on the logits",
            "padded_rows": "padded rows of the head left out",
        },
    ),
    flags=("kernel", "pooling", "length_normalize"),
    refuse=refuse,
    check=check,
    warmup="target",
    shortlist="vote",
)
