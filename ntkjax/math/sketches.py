"""Linear sketches: short vectors whose inner products estimate those of long ones.

For a sketch S with k numbers, E⟨S g, S h⟩ = ⟨g, h⟩ and

    Var⟨S g, S h⟩ = (‖g‖²‖h‖² + ⟨g, h⟩² − 2 Σ_p g_p² h_p²) / k     (dense Rademacher)

The shift sketch has at most this variance: two numbers of one block never meet, and
numbers of different blocks meet with probability 1/k, as in a count sketch
(arXiv 0902.2206). It costs O(P) where the dense one costs O(P·k).

The scale is the same for every shape of θ: both act on one flat vector.
"""

import math
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int8, Int32, Key


_CHUNK = 256  # coordinates whose dense signs are held at once


@partial(
    jax.tree_util.register_dataclass, data_fields=["signs", "shifts"], meta_fields=[]
)
@dataclass(frozen=True)
class ShiftSketch:
    """Random signs, a cyclic shift of each block of k coordinates, blocks added up.

    A count sketch whose hash is constant over a block up to position: no scatter, no
    table of P hashes. Cost: O(P).

    Attributes:
        signs: ±1 for every coordinate, padded with zeros to whole blocks.
        shifts: How far each block is turned.
    """

    signs: Int8[Array, "blocks k"]
    shifts: Int32[Array, " blocks"]

    def __call__(self, vector: Float[Array, " P"]) -> Float[Array, " k"]:
        blocks, k = self.signs.shape
        padded = jnp.pad(vector, (0, blocks * k - vector.size)).reshape(blocks, k)
        signed = padded * self.signs.astype(vector.dtype)
        source = (jnp.arange(k)[None, :] - self.shifts[:, None]) % k
        return jnp.take_along_axis(signed, source, axis=1).sum(axis=0)


@partial(jax.tree_util.register_dataclass, data_fields=["key"], meta_fields=["size"])
@dataclass(frozen=True)
class RademacherSketch:
    """Dense random signs / √k, as NTK-Selector, LESS and TRAK use them.

    The P × k signs are drawn anew, chunk by chunk, and never stored. Cost: O(P·k).

    Attributes:
        key: Decides the signs.
        size: k.
    """

    key: Key[Array, ""]
    size: int

    def __call__(self, vector: Float[Array, " P"]) -> Float[Array, " k"]:
        chunks = -(-vector.size // _CHUNK)
        padded = jnp.pad(vector, (0, chunks * _CHUNK - vector.size))

        def add(total, row):
            index, numbers = row
            own_key = jax.random.fold_in(self.key, index)
            signs = _signs(own_key, self.size, vector.dtype)
            # not in TF32 or bfloat16, also outside the verbs
            part = jnp.matmul(numbers, signs, precision=jax.lax.Precision.HIGHEST)
            return total + part, None

        zero = jnp.zeros((self.size,), vector.dtype)
        rows = (jnp.arange(chunks), padded.reshape(chunks, _CHUNK))
        total = jax.lax.scan(add, zero, rows)[0]
        return total * jnp.asarray(self.size**-0.5, vector.dtype)


def _signs(key: Key[Array, ""], size: int, dtype) -> Float[Array, "chunk k"]:
    """Signs of one chunk, 32 from each random word."""
    words = jax.random.bits(key, (_CHUNK, -(-size // 32)), jnp.uint32)
    bits = (words[:, :, None] >> jnp.arange(32, dtype=jnp.uint32)) & jnp.uint32(1)
    return 2 * bits.reshape(_CHUNK, -1)[:, :size].astype(dtype) - 1


Sketch = ShiftSketch | RademacherSketch


def shift_sketch(num_parameters: int, size: int, key: Key[Array, ""]) -> ShiftSketch:
    """A `ShiftSketch` of vectors of `num_parameters` numbers to `size` numbers."""
    _require_positive(num_parameters, size)
    blocks = math.ceil(num_parameters / size)
    key_signs, key_shifts = jax.random.split(key)
    signs = jax.random.rademacher(key_signs, (blocks, size), dtype=jnp.int8)
    shifts = jax.random.randint(key_shifts, (blocks,), 0, size, dtype=jnp.int32)
    return ShiftSketch(signs, shifts)


def rademacher_sketch(
    num_parameters: int, size: int, key: Key[Array, ""]
) -> RademacherSketch:
    """A `RademacherSketch` to `size` numbers; it fits vectors of any length."""
    _require_positive(num_parameters, size)
    return RademacherSketch(key, size)


SKETCHES = {"shift": shift_sketch, "rademacher": rademacher_sketch}


def _require_positive(num_parameters: int, size: int) -> None:
    if num_parameters < 1 or size < 1:
        raise ValueError(f"expected positive {num_parameters=} and {size=}.")
