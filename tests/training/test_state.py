import jax
import jax.numpy as jnp
import numpy as np

from ntkjax.training.programs import AdamW
from ntkjax.training.state import first_state, from_checkpoint, to_checkpoint


OPTIMIZER = AdamW(0.9, 0.999, 0.1, 1.0)
THETA = {"a.lora_A": jnp.float32([1, 2]), "a.lora_B": jnp.float32([3])}


def moved(state, value: float, step: int):
    theta = {name: leaf + jnp.float32(value) for name, leaf in state.theta.items()}
    _, moments = OPTIMIZER.update(theta, state.moments, theta)
    row = {"step": step, "validation_loss": None}
    return type(state)(step, theta, moments, state.best, [*state.history, row])


def test_best_is_the_first_of_the_lowest():
    state = first_state(THETA, OPTIMIZER)
    for step, loss in enumerate([3.0, 1.0, 2.0, 1.0], start=1):
        state = moved(state, 1, step).validated(loss)
    assert (state.best.loss, state.best.step) == (1.0, 2)
    np.testing.assert_array_equal(state.best.theta["a.lora_B"], [5])
    assert [row["validation_loss"] for row in state.history] == [3, 1, 2, 1]


def test_to_a_checkpoint_and_back():
    for validated in (False, True):
        state = moved(first_state(THETA, OPTIMIZER), 1, 1)
        state = state.validated(0.5) if validated else state
        found = from_checkpoint(to_checkpoint(state), OPTIMIZER)
        jax.tree.map(np.testing.assert_array_equal, found.moments, state.moments)
        jax.tree.map(np.testing.assert_array_equal, found.theta, state.theta)
        assert found.history == state.history
        assert (found.best is not None) is validated
        if validated:
            assert (found.best.loss, found.best.step) == (0.5, 1)
