"""Embeddings: the pooled final hidden state of every example."""

from collections.abc import Callable, Sequence

import jax
import numpy as np
from jaxtyping import Array, Float, Float32

from ntkjax.data.tokenizing import TokenizedExample
from ntkjax.devices.precision import full_precision
from ntkjax.models.language_model import LanguageModel
from ntkjax.notation import Theta
from ntkjax.outputs.pooled import PooledHidden
from ntkjax.passes.run_pass import Batching, run_pass


def embeddings(
    model: LanguageModel,
    theta: Theta,
    examples: Sequence[TokenizedExample],
    batching: Batching,
    *,
    advance: Callable[[int], None] = lambda count: None,
) -> Float32[np.ndarray, "n d"]:
    """h̄ of every example, pooled as `batching` says.

    Cost: F per example, without the head.

    Raises:
        InputError: If one is not finite; the example is named.
    """
    found = run_pass(
        _pooled,
        (PooledHidden(model), theta),
        examples,
        batching,
        what="embedding",
        advance=advance,
    )
    return found.astype(np.float32)


def _pooled(fixed, batch) -> Float[Array, "n d"]:
    f, theta = fixed
    with full_precision():
        return jax.vmap(lambda x: f(theta, x))(batch)
