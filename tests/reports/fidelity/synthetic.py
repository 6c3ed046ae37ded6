"""A made-up fidelity run with errors of the size that real models show."""

import functools

import numpy as np

from ntkjax.fidelity.compare import KernelFidelity, compare
from ntkjax.fidelity.cosines import output_cosines
from ntkjax.fidelity.cross_terms import CrossTermIntervals, CrossTerms
from ntkjax.fidelity.quantiles import Quantiles
from ntkjax.fidelity.ranking import Ranking
from ntkjax.fidelity.result import FidelityResult, NumCut
from ntkjax.math.bootstrap import Estimate, bootstrap_rows
from ntkjax.math.ranking import chance_overlap
from ntkjax.models.coverage import Coverage


NUM_QUERIES, NUM_CANDIDATES, NUM_OUTPUTS, TOP = 12, 80, 64, 10
PROBES = {  # name: probe rows, as fractions of the exact kernel's 64 outputs
    "exact": 64,
    "summed": 1,
    "centered": 64,
    "spectral_1": 1,
    "spectral_4": 4,
    "spectral_16": 16,
    "random_1": 1,
    "random_16": 16,
    "deflated_4_12": 16,
}


def kernel(
    name: str, cost: float, spearman: tuple, ratio=1.0, error=0.1, overlap=0.5
) -> KernelFidelity:
    """A kernel of these numbers; reports look at no others."""
    level = lambda value: Estimate(value, value, value)
    sizes = Quantiles(*[float(ratio)] * 5)
    order = Ranking(Estimate(*spearman), level(0.8 * spearman[0]), level(overlap))
    errors = CrossTerms(
        raw_diagonal=sizes,
        raw_pairs=sizes,
        scaled_diagonal=sizes,
        scaled_pairs=sizes,
        factor=1.0,
        raw_relative_error=error,
        relative_error=error,
        cosine=1.0,
        num_zero_diagonal=0,
        num_zero_pairs=0,
        intervals=CrossTermIntervals(*[level(error)] * 7),
    )
    return KernelFidelity(name, float(cost), 1, errors, order, order)


@functools.cache
def run(
    seed: int = 0, num_candidates: int = NUM_CANDIDATES
) -> tuple[FidelityResult, dict[str, np.ndarray]]:
    """(result, arrays) of kernels Σ_j ⟨v_j, g(x)⟩⟨v_j, g(y)⟩ of random gradients g.

    Made once for each process: nobody changes what it gives.
    """
    rng = np.random.default_rng(seed)
    weights = 1 / np.arange(1, NUM_OUTPUTS + 1) ** 0.6
    shared = rng.normal(size=(NUM_OUTPUTS, 24))
    num = NUM_QUERIES + num_candidates
    strength = rng.lognormal(0, 0.25, size=(num, 1, 1))
    grads = shared + 0.8 * rng.normal(size=(num, NUM_OUTPUTS, 24))
    grads *= strength * weights[:, None]
    # Every output of a text shares a direction, and all texts share some of it.
    common = 0.7 * rng.normal(size=24) + 0.35 * rng.normal(size=(num, 1, 24))
    grads += 0.35 * strength * common

    def values(probes):
        rows = np.einsum("so,nop->nsp", probes, grads)
        queries, candidates = rows[:NUM_QUERIES], rows[NUM_QUERIES:]
        kernel = np.einsum("nsp,msp->nm", queries, candidates)
        return kernel, np.einsum("nsp,nsp->n", queries, queries)

    eye = np.eye(NUM_OUTPUTS)
    signs = rng.choice([-1.0, 1.0], size=(16, NUM_OUTPUTS))
    tail = signs[:12] * (np.arange(NUM_OUTPUTS) >= 4) / 12**0.5
    probes = {
        "exact": eye,
        "summed": np.full((1, NUM_OUTPUTS), 2.0),
        "centered": eye - 1 / NUM_OUTPUTS,
        "spectral_1": eye[:1],
        "spectral_4": eye[:4],
        "spectral_16": eye[:16],
        "random_1": signs[:1],
        "random_16": signs / 4,
        "deflated_4_12": np.concatenate([eye[:4], tail]),
    }
    arrays, diagonals = {}, {}
    for name, rows in probes.items():
        arrays[name], diagonals[name] = values(rows)
    resamples = bootstrap_rows(NUM_QUERIES, 100, seed)

    def record(name, source, noise=0.0):
        kernel = arrays[source] * (1 + noise * rng.normal(size=arrays[source].shape))
        return compare(
            name,
            1 + len(probes[source]),
            len(probes[source]),
            kernel,
            arrays["exact"],
            diagonals[source],
            diagonals["exact"],
            resamples,
            TOP,
        )

    blocks = np.einsum("njp,nkp->njk", grads[:NUM_QUERIES], grads[:NUM_QUERIES])
    values = {
        "model": "shared/models/stories260k",
        "adapter": "runs/warmup/adapter",
        "compare_adapter": "runs/warmup/step-200",
        "queries": "shared/data/financial.jsonl",
        "candidates": "shared/data/pool_cot.jsonl",
        "num_queries": NUM_QUERIES,
        "num_candidates": num_candidates,
        "num_cut": NumCut(queries=1, candidates=3),
        "max_length": 96,
        "pooling": "response-mean",
        "seed": seed,
        "top": TOP,
        "chance_overlap": chance_overlap(TOP, num_candidates),
        "num_parameters": 26_304,
        "coverage": (Coverage("q_proj", 2, 1, 26_304),),
        "vocab_size": 512,
        "padded_rows": 0,
        "hidden_size": 64,
        "readout": "hidden",
        "readout_note": None,
        "left_out": (),
        "kernels": tuple(record(name, name) for name in probes),
        "sketches": (
            record("summed·shift_8192", "summed", 0.05),
            record("spectral_4·count_8192", "spectral_4", 0.05),
            record("random_16·dense_8192", "random_16", 0.05),
        ),
        "cosines": output_cosines(blocks, resamples),
        "stability": record("exact at runs/warmup/step-200", "exact", 0.1),
        "seconds": {"exact": 31.4, "approximations": 12.25, "sketches": 4.0},
        "versions": {"ntkjax": "0.1.0", "jax": "0.10.1", "flax": "0.12.8"},
        "device": "cpu (2 cores)",
        "precision": "float32",
    }
    return FidelityResult(**values), arrays
