"""Kernel scores: the mean over the target of a neural tangent kernel k(d, x).

`ntkjax.passes.kernel_scores` has the formula; the kernel is `--kernel`, its pooling
that of the batches.
"""

import numpy as np

from ntkjax.data.tokenizing import TokenizedExample
from ntkjax.errors import InputError
from ntkjax.kernels.probe_kernel import ProbeKernel
from ntkjax.kernels.readout import (
    AnyReadout,
    Readout,
    read_readout,
    readout_function,
)
from ntkjax.kernels.table import named_kernel, num_probes
from ntkjax.math.seeds import stream
from ntkjax.passes.kernel_scores import domain_scorer
from ntkjax.passes.loss_gradients import hash_of
from ntkjax.selection.problem import Advance, Problem, Prospect, Scored


def check(prospect: Prospect) -> None:
    """Raises `InputError` if the kernel is not possible for the model."""
    _kernel(prospect)


def score(problem: Problem) -> Scored:
    """Scores at the end of the warm-up. Cost: F + s·F for each candidate, s probes.

    Raises:
        InputError: If the kernel is not possible, or a number is not finite.
    """
    kernel, readout = _kernel(problem.prospect)
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


def _kernel(prospect: Prospect) -> tuple[ProbeKernel, Readout]:
    if prospect.model.lora is None:
        raise InputError(
            "--method ntk: kernels of a model whose head is trained need a gradient "
            "for each entry of the vocabulary; use --parameters lora."
        )
    name = prospect.options.kernel
    readout = read_readout(prospect.model, prospect.vocab_size)
    flagged_probes(name, readout)
    return named_kernel(name, readout, stream(prospect.seed, "probes")), readout


def flagged_probes(name: str, readout: AnyReadout) -> int:
    """How many probes the kernel of `--kernel` has; the readout may be unread.

    Raises:
        InputError: If there is no such kernel, or it is not possible for the readout.
    """
    try:
        return num_probes(name, readout)
    except InputError as error:
        reason = str(error).removeprefix("--kernels: ")
        raise InputError(f"--kernel {name}: {reason}") from error
