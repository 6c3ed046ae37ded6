"""The first verb: kernel matrices from per-output gradients.

    K(x, y) = Σ_j ⟨∇f_j(x), ∇f_j(y)⟩ = tr Θ(x, y)

Gradients are never all held at once. For each tile of xs and each block of outputs the
block's gradients at the tile are computed once; then the tiles of ys pass by:

    cost    n · (F + s·B) for xs, and m · (F + s·B) for ys again for each tile of xs;
            the forward pass is repeated for each block, F · s / block_size
    memory  2 · tile_size · block_size · P numbers, and the activations of
            `vjp_batch` backward passes of one example

Nothing is divided by the number of outputs (neural-tangents divides).
"""

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ntkjax.devices.precision import full_precision
from ntkjax.gradients.per_output import (
    flatten,
    num_examples,
    num_outputs,
    pull_back,
)
from ntkjax.notation import Example, OutputFn, Theta


Outputs = Literal["trace", "diagonal", "full"]
Sketch = Callable[[Float[Array, " P"]], Float[Array, " k"]]


class Gram(NamedTuple):
    """Kernel values of one inner product.

    With `outputs="diagonal"` both have a leading axis [s] of single outputs; with
    `outputs="full"` two trailing axes [s, s] of pairs of outputs.

    Attributes:
        cross: K(x, y), [n, m].
        own: K(x, x), [n]; it costs no further derivative.
    """

    cross: Float[Array, "..."]
    own: Float[Array, "..."]


def gram(
    f: OutputFn,
    *,
    outputs: Outputs = "trace",
    tile_size: int = 16,
    block_size: int = 16,
    vjp_batch: int = 1,
) -> Callable[[Theta, Example, Example], Float[Array, "..."]]:
    """Function (θ, xs, ys) ↦ the kernel matrix K, [n, m].

    Args:
        f: Output function, one example to s outputs.
        outputs: `trace` sums over outputs, [n, m]; `diagonal` keeps each output's own
            kernel ⟨∇f_j(x), ∇f_j(y)⟩, [s, n, m]; `full` keeps all pairs
            ⟨∇f_i(x), ∇f_j(y)⟩, [n, m, s, s], and holds all outputs at once.
        tile_size: Examples of each side whose gradients are held.
        block_size: Outputs whose gradients are held.
        vjp_batch: Backward passes side by side.
    """
    family = grams(
        f,
        outputs=outputs,
        tile_size=tile_size,
        block_size=block_size,
        vjp_batch=vjp_batch,
    )
    return lambda theta, xs, ys: family(theta, xs, ys)[0].cross


def grams(
    f: OutputFn,
    sketches: Sequence[Sketch] = (),
    *,
    outputs: Outputs = "trace",
    tile_size: int = 16,
    block_size: int = 16,
    vjp_batch: int = 1,
) -> Callable[[Theta, Example, Example], tuple[Gram, ...]]:
    """Function (θ, xs, ys) ↦ a `Gram` of the inner product and of each sketch.

    All share one set of gradients. A sketch S replaces ⟨g, h⟩ by ⟨S g, S h⟩. Arguments
    are those of `gram`.

    Raises:
        ValueError: If a size is below 1 or `outputs` is none of the three words.
    """
    if min(tile_size, block_size, vjp_batch) < 1:
        raise ValueError(
            f"sizes must be at least 1, got {tile_size=}, {block_size=}, {vjp_batch=}."
        )
    if outputs not in _CONTRACTIONS:
        raise ValueError(f"{outputs=}: expected one of {', '.join(_CONTRACTIONS)}.")
    between, within = _CONTRACTIONS[outputs]

    def use(gradient: Theta) -> tuple[Array, ...]:
        vector = flatten(gradient)
        return vector, *(sketch(vector) for sketch in sketches)

    def family(theta: Theta, xs: Example, ys: Example) -> tuple[Gram, ...]:
        n, m = num_examples(xs), num_examples(ys)
        s = num_outputs(f, theta, xs)
        block = s if outputs == "full" else min(block_size, s)
        x_tiles, y_tiles = _tiles(xs, tile_size), _tiles(ys, tile_size)

        def gradients(tile: Example, start) -> tuple[Array, ...]:
            per_example = lambda x: pull_back(f, theta, x, start, block, vjp_batch, use)
            return jax.lax.map(per_example, tile)  # each [tile, block, P or k]

        def block_terms(x_tile: Example, start) -> tuple[Gram, ...]:
            at_x = gradients(x_tile, start)
            crosses = jax.lax.map(
                lambda tile: [
                    jnp.einsum(between, gx, gy)
                    for gx, gy in zip(at_x, gradients(tile, start), strict=True)
                ],
                y_tiles,
            )
            owns = [jnp.einsum(within, gx, gx) for gx in at_x]
            return tuple(map(Gram, crosses, owns))

        def x_tile_terms(x_tile: Example) -> tuple[Gram, ...]:
            starts = jnp.arange(0, s, block)
            if outputs == "diagonal":
                return jax.lax.map(lambda start: block_terms(x_tile, start), starts)
            shapes = jax.eval_shape(block_terms, x_tile, starts[0])
            zero = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
            add = lambda total, start: (
                jax.tree.map(jnp.add, total, block_terms(x_tile, start)),
                None,
            )
            return jax.lax.scan(add, zero, starts)[0]

        with full_precision():
            terms = jax.lax.map(x_tile_terms, x_tiles)
        return tuple(_assemble(term, outputs, n, m, s) for term in terms)

    return family


# Index letters: a, c examples; b, d outputs; p parameters.
_CONTRACTIONS = {
    "trace": ("abp,cbp->ac", "abp,abp->a"),
    "diagonal": ("abp,cbp->bac", "abp,abp->ba"),
    "full": ("abp,cdp->acbd", "abp,adp->abd"),
}


def _tiles(xs: Example, tile_size: int) -> Example:
    """Xs cut into [tiles, tile, ...]; the last tile is filled up with the last row."""
    n = num_examples(xs)
    size = min(tile_size, n)
    rows = jnp.minimum(jnp.arange(-(-n // size) * size), n - 1).reshape(-1, size)
    return jax.tree.map(lambda leaf: leaf[rows], xs)


def _assemble(term: Gram, outputs: Outputs, n: int, m: int, s: int) -> Gram:
    """Tiles and blocks put back in order, rows that filled up tiles dropped."""
    cross, own = term
    if outputs == "diagonal":  # [X, J, Y, b, a, c] and [X, J, b, a]
        cross = jnp.transpose(cross, (1, 3, 0, 4, 2, 5))
        own = jnp.transpose(own, (1, 2, 0, 3))
        blocks, b, tiles_x, a, tiles_y, c = cross.shape
        cross = cross.reshape(blocks * b, tiles_x * a, tiles_y * c)[:s, :n, :m]
        return Gram(cross, own.reshape(blocks * b, tiles_x * a)[:s, :n])
    # [X, Y, a, c, ...] and [X, a, ...]
    cross = jnp.swapaxes(cross, 1, 2)
    tiles_x, a, tiles_y, c, *rest = cross.shape
    cross = cross.reshape(tiles_x * a, tiles_y * c, *rest)[:n, :m]
    return Gram(cross, own.reshape(tiles_x * a, *own.shape[2:])[:n])
