"""Matrix products of kernels and scores in full float32.

TPUs multiply float32 matrices in bfloat16 passes by default, recent GPUs in TF32; a
Jacobian computed that way is off by up to 20% (jax#11069). Every verb runs under this
context, so that a kernel is the same number on every backend.
"""

import jax
import numpy as np


PRECISION = "float32"


def full_precision():
    """Context in which float32 matrix products are computed in float32."""
    return jax.default_matmul_precision(PRECISION)


def at_least_float32(dtype) -> np.dtype:
    """The type of norms and sums: float32 for 16-bit types, else the type itself."""
    return np.promote_types(dtype, np.float32)
