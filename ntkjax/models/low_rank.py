"""The product x Aᵀ Bᵀ of an adapter, whose gradients cost what they should.

The gradient by B is Σ_t g_t h_tᵀ, for h = x Aᵀ [T, r] and the cotangent g [T, out]. JAX
forms it as gᵀ h; XLA's CPU compiler then writes g a second time, transposed, column by
column, and computes all that makes g again for it (an activation's derivative, say).
Here it is (hᵀ g)ᵀ: what is transposed is h, r columns of it.

JAX has no other way to say how a product is transposed, in forward and in reverse mode,
than a primitive of one's own.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.ad_checkpoint import checkpoint_name
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir
from jaxtyping import Array, Float


KEPT = "product with weights"
"""Name of what a scanned layer keeps for its backward pass; the rest is made again."""


def low_rank(
    x: Float[Array, "T in"],
    a: Float[Array | np.ndarray, "r in"],
    b: Float[Array | np.ndarray, "out r"],
) -> Float[Array, "T out"]:
    """The product x Aᵀ Bᵀ, in the type of A and B.

    Cost: T · r · (in + out) products, and twice that for the gradients by A and B.
    """
    h = checkpoint_name(x.astype(a.dtype) @ a.T, KEPT)
    # The compiler's part comes later, outside of the context that sets the precision.
    precision = jax.config.jax_default_matmul_precision  # pyright: ignore
    return _expand_p.bind(h, b, precision=precision)


def _expand(h: Array, b: Array, precision) -> Array:
    """The product h Bᵀ, for h [T, r] and B [out, r]."""
    return jnp.matmul(h, b.T, precision=precision)


def _by_h(g: Array, _, b: Array, precision) -> Array:
    return jnp.matmul(g, b, precision=precision)


def _by_b(g: Array, h: Array, _, precision) -> Array:
    # Without the barrier the compiler makes gᵀ h of it again.
    return jax.lax.optimization_barrier(jnp.matmul(h.T, g, precision=precision)).T


def _batched(operands, axes, precision):
    """Rows of all examples are rows of one product; several B have one each."""
    (h, b), (h_axis, b_axis) = operands, axes
    if b_axis is not None:
        expand = partial(_expand, precision=precision)
        return jax.vmap(expand, axes)(h, b), 0
    h = jnp.moveaxis(h, h_axis, 0)
    rows = h.reshape(-1, h.shape[-1])
    product = _expand_p.bind(rows, b, precision=precision)
    return product.reshape(*h.shape[:-1], -1), 0


_expand_p = Primitive("low_rank_expand")
_expand_p.def_impl(jax.jit(_expand, static_argnames="precision"))
_expand_p.def_abstract_eval(
    lambda h, b, precision: h.update(shape=(h.shape[0], b.shape[0]))
)
ad.defbilinear(_expand_p, _by_h, _by_b)
batching.primitive_batchers[_expand_p] = _batched
mlir.register_lowering(_expand_p, mlir.lower_fun(_expand, multiple_results=False))
