"""The d^(-1/2) law of cross terms on random decoders, and what breaks it.

With B = ∇h̄(x) ∇h̄(y)ᵀ [d, d] and a head W [d, V],

    ratio = |1ᵀWᵀ B W 1 − tr(W Wᵀ B)| / |tr(W Wᵀ B)|.

The NTK-Selector paper (2511.07380, App. E) shows ratio = O(d^(-1/2)), whatever V is, if
the rows of the head are independent with mean zero and B is near a multiple of I. Heads
here have rows

    w_v = √(1 − λ²) z_v + λ u,   z_v ~ N(0, I/d),   ‖u‖ = 1,

so that λ = 0 is the paper's assumption and λ² the expected cosine between two rows. For
λ = 0 the ratio has mean about √(2/π) √(2 / rank), rank = (tr B)² / ‖B‖_F²: it falls
like d^(-1/2) only as far as this effective rank grows like d. For V λ² well above 1 the
ratio is about V λ² and has nothing to do with d.

One body gives B for every head, so heads are cheap and bodies are few.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import jax
import numpy as np
from jaxtyping import Float

from benchmarks.decoders import random_decoder, random_texts, start
from ntkjax.data.batches import make_batch
from ntkjax.fidelity.cosines import output_cosines
from ntkjax.gradients.gram import gram
from ntkjax.math.bootstrap import Estimate, bootstrap_rows, estimate
from ntkjax.models.lora import LoraSettings
from ntkjax.outputs.pooled import PooledHidden


BODIES = ("isotropic", "decoder, B = 0", "decoder, B ≠ 0")
"""B = I (the paper's assumption), or that of a random decoder."""

_BODY_VOCABULARY = 64  # of the embedding; the heads are drawn apart from it


@dataclass(frozen=True)
class LawSizes:
    """How much is measured.

    Attributes:
        widths: d.
        vocabularies: V.
        strengths: λ.
        seeds: Bodies at each width.
        heads: Heads drawn for each body.
        texts: Random sequences.
        length: Their tokens.
        rank: Of the adapter, on all seven matrices of two layers.
        tokens: Outputs whose gradients are compared.
        resamples: Of the bootstrap over seeds.
    """

    widths: tuple[int, ...]
    vocabularies: tuple[int, ...]
    strengths: tuple[float, ...]
    seeds: int
    heads: int
    texts: int
    length: int
    rank: int
    tokens: int
    resamples: int


def measure_law(sizes: LawSizes) -> dict:
    """`cells` (one per body, V, λ and d) and `slopes` (one per body, V and λ)."""
    cells = []
    for width in sizes.widths:
        program = jax.jit(
            lambda f, theta, xs: gram(f, outputs="full", tile_size=4)(theta, xs, xs)
        )
        for body in BODIES:
            cells += _width_cells(body, width, sizes, program)
    slopes = [
        _slopes([c for c in cells if (c["body"], c["V"], c["strength"]) == key], sizes)
        for key in dict.fromkeys((c["body"], c["V"], c["strength"]) for c in cells)
    ]
    return {"cells": cells, "slopes": slopes}


def head_ratios(
    blocks: Float[np.ndarray, "n m d d"],
    square: Float[np.ndarray, "d d"],
    total: Float[np.ndarray, " d"],
) -> Float[np.ndarray, "n m"]:
    """|summed − exact| / |exact| for bodies B(x, y) and a head: W Wᵀ and W 1."""
    exact = np.tensordot(blocks, square)
    summed = blocks @ total @ total
    return np.abs(summed - exact) / np.abs(exact)


def draw_rows(
    width: int, vocab_size: int, rng: np.random.Generator
) -> Float[np.ndarray, "d V"]:
    """Independent rows z_v ~ N(0, I/d), in the columns."""
    return rng.normal(size=(width, vocab_size)) * width**-0.5


def effective_rank(
    blocks: Float[np.ndarray, "n d d"],
) -> Float[np.ndarray, " n"]:
    """(tr B)² / ‖B‖_F² of each block."""
    return np.trace(blocks, axis1=1, axis2=2) ** 2 / np.sum(blocks**2, axis=(1, 2))


def fit_slope(
    places: Sequence[float],
    ratios: Float[np.ndarray, "seeds places"],
    num_resamples: int,
    seed: int,
) -> Estimate:
    """Slope of the log of the seeds' mean ratio over log `places`.

    The interval draws seeds with replacement, for each place on its own: bodies at
    different widths have nothing in common.
    """
    log_places = np.log(np.asarray(places, float))
    num_seeds, num_places = ratios.shape

    def slope(means: np.ndarray) -> float:
        return float(np.polyfit(log_places, np.log(means), 1)[0])

    drawn = [
        ratios[bootstrap_rows(num_seeds, num_resamples, seed + j), j].mean(axis=1)
        for j in range(num_places)
    ]
    samples = np.array([slope(means) for means in np.stack(drawn, axis=1)])
    return estimate(slope(ratios.mean(axis=0)), samples)


def _width_cells(body: str, width: int, sizes: LawSizes, program) -> list[dict]:
    """The cells of one body and width, for every V and λ."""
    grid = [(V, strength) for V in sizes.vocabularies for strength in sizes.strengths]
    found = {key: {"diagonal": [], "pairs": [], "blocks": []} for key in grid}
    ranks = []
    for seed in range(sizes.seeds):
        blocks = _body(body, width, seed, sizes, program)
        own = np.einsum("xxij->xij", blocks)
        ranks.append(effective_rank(own).mean())
        rng = np.random.default_rng([seed, width, 3])
        for index in range(sizes.heads):
            rows = draw_rows(width, max(sizes.vocabularies), rng)
            shared = rng.normal(size=width)
            shared /= np.linalg.norm(shared)
            for V in sizes.vocabularies:
                few = rows[:, :V]
                square, total = few @ few.T, few.sum(axis=1)
                for strength in sizes.strengths:
                    cell = found[V, strength]
                    ratios = head_ratios(
                        blocks, *mixed_head(square, total, shared, V, strength)
                    )
                    cell["diagonal"].append(np.diagonal(ratios).mean())
                    if len(ratios) > 1:
                        other = ~np.eye(len(ratios), dtype=bool)
                        cell["pairs"].append(np.median(ratios[other]))
                    if index == 0:
                        some = np.sqrt(1 - strength**2) * few[:, : sizes.tokens]
                        some += strength * shared[:, None]
                        cell["blocks"].append(some.T @ own @ some)
    return [
        {
            "body": body,
            "V": V,
            "strength": strength,
            "width": width,
            "effective_rank": float(np.mean(ranks)),
            **_cell(found[V, strength], sizes),
        }
        for V, strength in grid
    ]


def mixed_head(
    square: np.ndarray, total: np.ndarray, shared: np.ndarray, V: int, strength: float
) -> tuple[np.ndarray, np.ndarray]:
    """W Wᵀ and W 1 of the rows √(1 − λ²) z_v + λ u, from those of the z_v."""
    own = np.sqrt(1 - strength**2)
    cross = own * strength * np.outer(total, shared)
    mixed = own**2 * square + cross + cross.T
    mixed += strength**2 * V * np.outer(shared, shared)
    return mixed, own * total + strength * V * shared


def _cell(found: dict, sizes: LawSizes) -> dict:
    by_seed = np.reshape(found["diagonal"], (sizes.seeds, sizes.heads)).mean(axis=1)
    blocks = np.concatenate(found["blocks"])
    cosines = output_cosines(blocks, bootstrap_rows(len(blocks), 1, 0))
    pairs = found["pairs"]
    return {
        "ratio": float(by_seed.mean()),
        "ratio_by_seed": by_seed.tolist(),
        "median_ratio_of_pairs": float(np.median(pairs)) if pairs else None,
        "signed_cosine": cosines.signed.mean.value,
        "absolute_cosine": cosines.absolute.mean.value,
    }


def _body(body: str, width: int, seed: int, sizes: LawSizes, program) -> np.ndarray:
    """B(x, y) for all pairs of the texts, [n, n, d, d]."""
    if body == "isotropic":
        return np.eye(width)[None, None]
    lora = LoraSettings(rank=sizes.rank)
    model = random_decoder(width, _BODY_VOCABULARY, lora, seed)
    theta = start(model, seed, random_b=body.endswith("≠ 0"))
    texts = random_texts(sizes.texts, sizes.length, _BODY_VOCABULARY, seed)
    xs = make_batch(texts, "all")
    return np.asarray(program(PooledHidden(model), theta, xs), np.float64)


def _slopes(cells: list[dict], sizes: LawSizes) -> dict:
    ratios = np.array([cell["ratio_by_seed"] for cell in cells]).T
    first = cells[0]

    def fitted(name: str) -> dict:
        found = fit_slope([cell[name] for cell in cells], ratios, sizes.resamples, 0)
        return vars(found)

    return {
        **{name: first[name] for name in ("body", "V", "strength")},
        "against_width": fitted("width"),
        "against_effective_rank": fitted("effective_rank"),
    }
