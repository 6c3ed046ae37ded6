"""Letters, axis names and type aliases used everywhere.

    θ        the trainable parameters: any pytree; for language models a flat dict of
             LoRA matrices, P numbers in all (`Theta`)
    f(θ, x)  an output function: one example to s scalars (`OutputFn`)
    Θ(x, y)  the neural tangent kernel block ∇f(x) ∇f(y)ᵀ, [s, s]; every named kernel
             is tr Θ of some f, the *sum* over outputs, never divided by their number
    h_t      the final hidden state at position t, after the last norm, [d]
    ω_t      pooling weights, Σ_t ω_t = 1
    h̄        the pooled hidden state Σ_t ω_t h_t, [d]
    W        the head, [d, V]; logits = Wᵀ h

Axis names in shapes:

    n, m     examples (queries, candidates)        T    positions
    s        outputs of f                          V    vocabulary
    d        width of the hidden state             P    parameters in θ
    k        sketch dimension                      r    rank
"""

from collections.abc import Callable
from typing import Any

from jaxtyping import Array, Float, PyTree


Theta = PyTree[Float[Array, "..."], "theta"]
"""Trainable parameters; gradients and directions have the same structure."""

Example = Any
"""One example, or a batch of them with a leading axis: any pytree of arrays."""

OutputFn = Callable[[Any, Any], Array]
"""f(θ, x) -> R^s. A scalar result counts as s = 1."""
