"""The points of a sweep and the kernels measured at one of them.

One factor is varied at a time from the base point, which is the first of `points` for
each model. A seed decides everything random: the examples that are drawn, the adapter,
the probes, the sketches and the resamples of the intervals.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

import jax
import numpy as np

from benchmarks.decoders import start
from benchmarks.subjects import Subject
from ntkjax.data.batches import Batch, make_batch
from ntkjax.devices.mesh import data_mesh
from ntkjax.fidelity.study import KernelValues, against, kernel_values
from ntkjax.kernels.readout import Readout, read_readout, readout_function
from ntkjax.kernels.table import named_kernel
from ntkjax.math.bootstrap import bootstrap_rows
from ntkjax.math.sketches import shift_sketch
from ntkjax.models.lora import LAYER_MATRICES, LoraSettings
from ntkjax.notation import OutputFn
from ntkjax.runs.model import count


TARGETS = {
    "query, value": ("q_proj", "v_proj"),
    "attention": ("q_proj", "k_proj", "v_proj", "o_proj"),
    "all seven": LAYER_MATRICES,
}


@dataclass(frozen=True)
class Point:
    """Where a kernel is measured; the defaults are the base point."""

    model: str
    domain: str = "financial"
    rank: int = 8
    targets: str = "all seven"
    pooling: str = "all"
    b: str = "zero"


FACTORS = {
    "domain": ("medical",),
    "rank": (2, 32),
    "targets": ("query, value", "attention"),
    "pooling": ("response", "last"),
    "b": ("random",),
}
"""Values other than the base point's."""


@dataclass(frozen=True)
class Sizes:
    """How much is measured.

    Attributes:
        queries: Number of queries.
        candidates: Number of candidates.
        length: Longest example in tokens.
        resamples: Of the bootstrap over queries.
        top: N of the top-N overlap.
        base_seeds: Seeds at each model's base point.
        seeds: Seeds at other points, by model.
        sketches: Sketch dimensions, at the base point.
        factors: Names in `FACTORS` that are varied.
    """

    queries: int
    candidates: int
    length: int
    resamples: int
    top: int
    base_seeds: int
    seeds: dict[str, int]
    sketches: tuple[int, ...]
    factors: tuple[str, ...] = tuple(FACTORS)


@dataclass(frozen=True, eq=False)
class Measured:
    """What one point and seed gave, with what is needed to measure more there."""

    base: OutputFn
    theta: dict
    readout: Readout
    queries: Batch
    kernels: dict[str, KernelValues]
    row: dict


def points(model: str, factors: Sequence[str]) -> list[tuple[str, Point]]:
    """(factor, point) of every point, the base point first."""
    base = Point(model)
    varied = [
        (factor, replace(base, **{factor: value}))
        for factor in factors
        for value in FACTORS[factor]
    ]
    return [("base", base), *varied]


def runs(model: str, sizes: Sizes) -> list[tuple[str, Point, int]]:
    """(factor, point, seed) of everything to be measured on one model."""
    return [
        (factor, point, seed)
        for factor, point in points(model, sizes.factors)
        for seed in range(sizes.base_seeds if factor == "base" else sizes.seeds[model])
    ]


def measure(
    subject: Subject,
    factor: str,
    point: Point,
    seed: int,
    sizes: Sizes,
    names: Sequence[str],
) -> Measured:
    """The exact kernel and those of `names` at one point, compared as in `fidelity`.

    Cost: F + d·B for each example, and little more for the other kernels.
    """
    model = subject.load(LoraSettings(rank=point.rank, targets=TARGETS[point.targets]))
    theta = start(model, seed, point.b == "random")
    readout = read_readout(model, subject.vocab_size)
    base = readout_function(model, readout)
    texts = subject.texts(
        point.domain, sizes.queries, sizes.candidates, sizes.length, seed
    )
    queries, candidates = (
        make_batch(texts[what], point.pooling, sizes.length)
        for what in ("queries", "candidates")
    )
    sketch_sizes = sizes.sketches if factor == "base" else ()
    key = jax.random.key(seed)
    sketches = {
        f"shift_{k}": shift_sketch(count(theta), k, jax.random.fold_in(key, k))
        for k in sketch_sizes
    }
    kernels = [named_kernel(name, readout, seed) for name in ("exact", *names)]
    found = kernel_values(
        base, theta, queries, candidates, kernels, sketches, mesh=data_mesh()
    )
    resamples = bootstrap_rows(sizes.queries, sizes.resamples, seed)
    compared = [
        asdict(against(found["exact"], other, name, resamples, sizes.top))
        for name, other in found.items()
        if name != "exact"
    ]
    row = {
        "factor": factor,
        "point": asdict(point),
        "seed": seed,
        "num_parameters": count(theta),
        "vocab_size": readout.vocab_size,
        "width": int(readout.matrix.shape[0]),
        "kernels": compared,
    }
    return Measured(base, theta, readout, queries, found, row)


def level(row: dict) -> str:
    """The value of the factor that a row varies, for tables and figures."""
    factor = row["factor"]
    if factor == "base":
        return "base point"
    value = str(row["point"][factor])
    words = {"rank": f"rank {value}", "pooling": f"pool {value}", "b": "B ≠ 0"}
    return words.get(factor, value)


def by_point(rows: Sequence[dict]) -> list[dict]:
    """One entry per model and point: what it is, and its rows of all seeds."""
    groups: dict[tuple[str, str], list[dict]] = {}
    for row in rows:
        groups.setdefault((row["point"]["model"], level(row)), []).append(row)
    return [
        {"model": model, "factor": group[0]["factor"], "level": name, "rows": group}
        for (model, name), group in groups.items()
    ]


def over_seeds(values: Sequence[float]) -> dict[str, float]:
    """Mean, smallest and largest of one number over seeds."""
    return {
        "mean": float(np.mean(values)),
        "min": float(np.min(values)),
        "max": float(np.max(values)),
    }
