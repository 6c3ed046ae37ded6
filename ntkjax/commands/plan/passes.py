"""The passes that a selection makes, method by method: what runs over which examples.

Each is a program of `ntkjax.commands.plan.costs.programs`, or work of the host alone.
A pass over candidates is shared out among all data groups of all processes and kept on
disk; what is done on the domain, every process does for itself.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from ntkjax.commands.plan.selection import Selection
from ntkjax.errors import InputError
from ntkjax.passes.kernel_scores import MOST_BYTES


@dataclass(frozen=True)
class Pass:
    """One pass over examples.

    Attributes:
        stage: What it is for.
        program: A key of `PROGRAMS`; None for work of the host alone.
        examples: How many.
        side: Whose lengths they have: `pool` or `target`.
        is_shared: Whether processes share the examples out, through shards on disk.
        outputs: s of the program.
        repeats: How often the pass is made.
        row_bytes: What it keeps for each example, beside length and cut.
        shard_bytes: What it keeps for each shard.
        host_flops: Products of float64 matrices, on one host.
        reads_embeddings: Whether the embeddings of all examples come from disk.
        host_seconds: Other work for each example, on one host.
    """

    stage: str
    program: str | None
    examples: int
    side: str = "pool"
    is_shared: bool = False
    outputs: int = 1
    repeats: int = 1
    row_bytes: int = 0
    shard_bytes: int = 0
    host_flops: float = 0.0
    reads_embeddings: bool = False
    host_seconds: float = 0.0


def passes_of(selection: Selection) -> list[Pass]:
    """All passes in order, the warm-up's steps left out."""
    shortlisted = []
    if selection.settings.shortlist == "vote":
        shortlisted = [*_embeddings(selection), _vote(selection)]
    own = _METHODS[selection.settings.method](selection)
    if not any(each.is_shared for each in shortlisted + own):
        own.insert(0, _over_pool("lengths", None, selection))
    return shortlisted + own + _picker(selection)


def _over_pool(stage: str, program: str | None, selection: Selection, **more) -> Pass:
    """A pass over the candidates that are scored."""
    return Pass(stage, program, selection.scored, is_shared=True, **more)


def _on_target(stage: str, program: str, selection: Selection, **more) -> Pass:
    return Pass(stage, program, selection.workload.num_target, "target", **more)


def _embeddings(selection: Selection) -> list[Pass]:
    """Of the whole pool, and of the domain."""
    width = 4 * selection.cost.config.hidden_size
    every = selection.workload.num_pool
    return [
        Pass("embeddings", "embedding", every, is_shared=True, row_bytes=width),
        _on_target("embeddings of the target", "embedding", selection),
    ]


def _vote(selection: Selection, stage: str = "vote") -> Pass:
    """Cosines of target and pool, embeddings read from disk."""
    pool, target = selection.workload.num_pool, selection.workload.num_target
    products = 2.0 * pool * target * selection.cost.config.hidden_size
    return Pass(stage, None, pool, host_flops=products, reads_embeddings=True)


def _ntk(selection: Selection) -> list[Pass]:
    """The target's directions in blocks: where there are several, for every shard."""
    if selection.cost.lora is None:
        raise InputError("--method ntk: needs --parameters lora.")
    probes = selection.num_probes
    size = max(1, min(probes, MOST_BYTES // (4 * selection.cost.num_theta)))
    blocks = math.ceil(probes / size)
    shards = math.ceil(selection.scored / selection.settings.rows_per_shard)
    return [
        _on_target(
            "directions of the target",
            "kernel direction",
            selection,
            outputs=size,
            repeats=1 if blocks == 1 else blocks * shards,
        ),
        _over_pool(
            "scores",
            "kernel score",
            selection,
            outputs=size,
            repeats=blocks,
            row_bytes=4,
        ),
    ]


def _gradient_dot(selection: Selection) -> list[Pass]:
    return [
        _on_target("gradient of the target", "loss gradient", selection),
        _over_pool("scores", "loss product", selection, row_bytes=4),
    ]


def _fisher(selection: Selection) -> list[Pass]:
    return [_fisher_diagonal(selection), *_gradient_dot(selection)]


def _fisher_diagonal(selection: Selection) -> Pass:
    drawn = min(selection.settings.fisher.examples, selection.scored)
    return Pass("Fisher diagonal", "squared gradient", drawn)


def _dualsft(selection: Selection) -> list[Pass]:
    options = selection.settings.dualsft
    found = []
    if options.kappa and options.curvature == "fisher":
        found.append(_fisher_diagonal(selection))
    found.append(_on_target("gradient of the target", "loss gradient", selection))
    if options.lambda_prior:
        drawn = min(options.anchors, selection.scored)
        found.append(Pass("confidence of anchors", "loss", drawn))
        found.append(Pass("divergence at anchors", "divergence", drawn))
    kept = 4 * selection.cost.num_theta
    times = 1 + options.rounds
    found.append(
        _over_pool("gradient of the pool", "loss gradient", selection, shard_bytes=kept)
    )
    found.append(
        _over_pool("scores", "loss product", selection, repeats=times, row_bytes=4)
    )
    chosen = Pass(
        "gradient of the chosen",
        "loss gradient",
        selection.budget,
        is_shared=True,
        repeats=times,
        shard_bytes=kept,
    )
    return [*found, chosen]


def _less(selection: Selection) -> list[Pass]:
    size, times = 4 * selection.settings.sketch.size, selection.snapshots
    return [
        _on_target("sketches of the target", "sketch", selection, repeats=times),
        _over_pool("sketches", "sketch", selection, repeats=times, row_bytes=size),
    ]


def _cosine(selection: Selection) -> list[Pass]:
    return [
        _on_target("norms of the target", "gradients", selection),
        _on_target("gradient of the target", "loss gradient", selection),
        _over_pool("scores", "gradients", selection, row_bytes=8),
    ]


def _embedding(selection: Selection) -> list[Pass]:
    if selection.settings.shortlist == "vote":
        return []  # the pass is there already
    return [*_embeddings(selection), _vote(selection, "cosines")]


def _loss(selection: Selection) -> list[Pass]:
    return [_over_pool("scores", "loss", selection, row_bytes=4)]


def _dsir(selection: Selection) -> list[Pass]:
    hashing = 2 * HASHING
    return [Pass("hashes", None, selection.scored, host_seconds=hashing)]


def _nothing(selection: Selection) -> list[Pass]:
    return []


def _picker(selection: Selection) -> list[Pass]:
    """Facility location compares all pairs of the highest scores."""
    if selection.settings.picker != "facility-location":
        return [Pass("picker", None, selection.scored)]
    size, width = selection.shortlist, selection.cost.config.hidden_size
    if selection.settings.method in _SKETCHED:
        width = selection.settings.sketch.size
    found = [Pass("picker", None, size, host_flops=2.0 * size * size * width)]
    if selection.settings.method == "cosine":
        found.insert(0, Pass("features", "sketch", size))
    return found


HASHING = 1.2e-4
"""Seconds to hash a text's words and pairs of words: measured, 120 tokens a text."""

_SKETCHED = ("less", "cosine")

_METHODS: dict[str, Callable[[Selection], list[Pass]]] = {
    "ntk": _ntk,
    "dualsft": _dualsft,
    "less": _less,
    "rds": _embedding,
    "dsir": _dsir,
    "vote": _embedding,
    "embedding": _embedding,
    "gradient-dot": _gradient_dot,
    "cosine": _cosine,
    "fisher": _fisher,
    "loss": _loss,
    "random": _nothing,
    "length-matched": _nothing,
}
"""What each method of `ntkjax.selection.methods.table` computes."""
