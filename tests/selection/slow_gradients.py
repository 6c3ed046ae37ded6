"""Loss gradients and sketches the slow way: one example at a time, S as a matrix."""

import jax
import jax.numpy as jnp
import numpy as np

from ntkjax.gradients.per_output import flatten
from tests.selection.small_problem import LONGEST


def explicit_gradients(model, theta, examples, length: int = LONGEST) -> np.ndarray:
    """∇ℓ of each example from the definition of ℓ, [n, P].

    Texts are padded to one length, to compile once.
    """
    rows = []
    for example in examples:
        room = (0, length - len(example.tokens))
        tokens = np.pad(example.tokens, room)
        targets = np.pad(example.targets, room)
        rows.append(flatten(_gradient(theta, model, tokens, targets)))
    return np.stack(rows).astype(np.float64)


def matrix_of(sketch, num_parameters: int) -> np.ndarray:
    """S as a matrix [P, k], from the basis vectors."""
    return np.asarray(jax.vmap(sketch)(jnp.eye(num_parameters)), np.float64)


@jax.jit
@jax.grad
def _gradient(theta, model, tokens, targets):
    logits = model.logits(theta, model.hidden(theta, tokens))
    logs = jax.nn.log_softmax(logits)[jnp.arange(len(tokens) - 1), tokens[1:]]
    weights = targets[1:].astype(jnp.float32)
    return -jnp.sum(weights * logs) / jnp.sum(weights)
