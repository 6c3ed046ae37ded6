"""How large are the cross terms of the summed-logit kernel, and when?

    uv run python -m benchmarks.cross_terms [--quick] [--out DIR]

How to read the table. `diagonal` and `pairs` are medians of |summed − exact| / exact at
(x, x) and at query-candidate pairs, `after factor` is the relative error that remains
when the summed kernel is multiplied by the best single number, `cos` the mean signed
cosine between the gradients of different outputs, and `λ of head` the length of the
head's mean row over the typical length of a row. Slopes of random decoders follow:
−0.5 is the law d^(-1/2), 0 means that width does not help.

What the results in `benchmarks/results` show. The law holds where it is claimed: with
independent rows and a body that is a multiple of I the ratio falls like d^(-1/2) for
every V, and with B = 0 a random decoder comes close to it. With B ≠ 0 the ratio falls
more slowly, because the effective rank of the body grows more slowly than d; against
the effective rank the slope comes nearer to −1/2, and its interval holds −1/2 for two
of the three V. A direction shared by the rows ends all this: the ratio is then about
V λ² at any width, even for the weakest λ measured. Both real heads share a direction
strongly, and their raw ratios are in the hundreds or above under every factor; the same
bodies under independent rows stay below 1. Most of that is one factor: after it a few
to some tens of percent remain. Intervals of slopes are over few bodies: too narrow.
"""

import sys
from dataclasses import asdict, dataclass

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.command import Benchmark, main, say
from benchmarks.cross_terms_figure import figure
from benchmarks.law import (
    LawSizes,
    draw_rows,
    effective_rank,
    head_ratios,
    measure_law,
)
from benchmarks.subjects import Subject
from benchmarks.sweep import (
    Measured,
    Sizes,
    by_point,
    level,
    measure,
    over_seeds,
    runs,
)
from ntkjax.fidelity.cosines import output_cosines
from ntkjax.gradients.own import own_blocks
from ntkjax.math.bootstrap import bootstrap_rows
from ntkjax.outputs.pooled import Probed


KERNELS = ("summed", "spectral_1", "random_1")
"""All that cost one backward pass."""


# Compiled once for each shape of θ, whatever the texts and the seed are.
_BLOCKS = jax.jit(lambda f, theta, xs: own_blocks(f)(theta, xs))


@dataclass(frozen=True)
class Settings:
    """Sizes of both halves.

    Attributes:
        sweep: Of the sweep over real models.
        law: Of the sweep over random decoders.
        block_queries: Queries whose whole B(x, x) is computed, for cosines and ranks.
        cosine_tokens: Outputs whose gradients are compared.
    """

    sweep: Sizes
    law: LawSizes
    block_queries: int
    cosine_tokens: int


def settings(quick: bool) -> Settings:
    """The sizes of the published results, or tiny ones."""
    if quick:
        return Settings(
            Sizes(3, 4, 8, 20, 2, 1, {"random": 1}, (64,), ("b",)),
            LawSizes((16, 32), (64,), (0.0, 0.3), 2, 2, 2, 6, 2, 16, 20),
            block_queries=2,
            cosine_tokens=16,
        )
    return Settings(
        Sizes(6, 6, 32, 400, 3, 3, {"stories260k": 2, "base4m": 1}, (256, 1024, 4096)),
        LawSizes(
            widths=(16, 32, 64, 128, 256),
            vocabularies=(256, 1024, 4096),
            strengths=(0.0, 0.1, 0.3, 1.0),
            seeds=6,
            heads=8,
            texts=2,
            length=16,
            rank=8,
            tokens=64,
            resamples=1000,
        ),
        block_queries=3,
        cosine_tokens=64,
    )


def measure_all(subjects: list[Subject], settings: Settings) -> dict:
    """The law on random decoders, then every point of the sweep."""
    law = measure_law(settings.law)
    say("random decoders: done")
    rows = []
    for subject in subjects:
        for factor, point, seed in runs(subject.name, settings.sweep):
            found = measure(subject, factor, point, seed, settings.sweep, KERNELS)
            rows.append(found.row | _outputs(found, seed, settings))
            say(f"{subject.name}: {level(rows[-1])}, seed {seed}")
    return {"law": law, "summary": _summary(rows), "rows": rows}


def _outputs(found: Measured, seed: int, settings: Settings) -> dict:
    """What B(x, x) of some queries says about outputs, head and body."""
    some = jax.tree.map(lambda leaf: leaf[: settings.block_queries], found.queries)
    head = found.readout.matrix
    width, vocab_size = head.shape
    whole = Probed(found.base, jnp.eye(width))
    body = np.asarray(_BLOCKS(whole, found.theta, some), np.float64)
    rng = np.random.default_rng([seed, 4])
    tokens = rng.choice(
        vocab_size, min(settings.cosine_tokens, vocab_size), replace=False
    )
    blocks = head[:, tokens].T @ body @ head[:, tokens]
    resamples = bootstrap_rows(len(blocks), settings.sweep.resamples, seed)
    cosines = output_cosines(blocks, resamples)
    independent = []
    for _ in range(8):
        rows = draw_rows(width, vocab_size, rng)
        ratios = head_ratios(body[:, None], rows @ rows.T, rows.sum(axis=1))
        independent.append(ratios.mean())
    squares = np.sum(head**2, axis=0)
    return {
        "cosines": {
            "signed": asdict(cosines.signed),
            "absolute": asdict(cosines.absolute),
        },
        "effective_rank": float(effective_rank(body).mean()),
        "shared_strength": float(
            np.linalg.norm(head.mean(axis=1)) / np.sqrt(squares.mean())
        ),
        "independent_head_ratio": float(np.mean(independent)),
    }


def _summary(rows: list[dict]) -> list[dict]:
    """One entry per model and point: numbers over seeds."""
    return [_entry(**group) for group in by_point(rows)]


def _entry(model: str, factor: str, level: str, rows: list[dict]) -> dict:
    names = [kernel["name"] for kernel in rows[0]["kernels"]]
    facts = ("effective_rank", "shared_strength", "independent_head_ratio")
    return {
        "model": model,
        "factor": factor,
        "level": level,
        "seeds": len(rows),
        "kernels": {name: _errors(rows, index) for index, name in enumerate(names)},
        **{
            f"{sign}_cosine": over_seeds(
                [row["cosines"][sign]["mean"]["value"] for row in rows]
            )
            for sign in ("signed", "absolute")
        },
        **{fact: over_seeds([row[fact] for row in rows]) for fact in facts},
    }


def _errors(rows: list[dict], index: int) -> dict:
    terms = [row["kernels"][index]["cross_terms"] for row in rows]
    return {
        "median_ratio_diagonal": over_seeds([t["raw_diagonal"]["q50"] for t in terms]),
        "median_ratio_pairs": over_seeds([t["raw_pairs"]["q50"] for t in terms]),
        "relative_error": over_seeds([t["relative_error"] for t in terms]),
        "cosine": over_seeds([t["cosine"] for t in terms]),
    }


def table(result: dict) -> str:
    """The summed kernel at every point, and the fitted slopes of the law."""
    lines = ["summed against exact     diagonal   pairs  after factor  cos   λ of head"]
    for entry in result["summary"]:
        errors = entry["kernels"]["summed"]
        numbers = [errors["median_ratio_diagonal"], errors["median_ratio_pairs"]]
        numbers += [errors["relative_error"], entry["signed_cosine"]]
        numbers.append(entry["shared_strength"])
        shown = "  ".join(f"{number['mean']:8.3g}" for number in numbers)
        lines.append(f"{entry['model']:>12} {entry['level']:<13}{shown}")
    lines.append("slope of log ratio against log d (−0.5: the law)")
    for fit in result["law"]["slopes"]:
        s = fit["against_width"]
        place = f"{fit['body']:>16}  V {fit['V']:<5} λ {fit['strength']:<4}"
        lines.append(f"{place} {s['value']:6.2f}  [{s['low']:.2f}, {s['high']:.2f}]")
    return "\n".join(lines)


BENCHMARK = Benchmark("cross_terms", settings, measure_all, figure, table)


if __name__ == "__main__":
    sys.exit(main(BENCHMARK))
