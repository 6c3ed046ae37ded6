"""Where a training stands after some steps; to a checkpoint and back."""

from dataclasses import dataclass, replace
from typing import Any

import jax
import optax
from jax.sharding import Mesh

from ntkjax.devices.mesh import replicate
from ntkjax.models.stacking import stack_layers, unstack_layers
from ntkjax.training.checkpoints import Checkpoint
from ntkjax.training.programs import AdamW


_MOMENTS = ("count", "mu", "nu")  # optax's names for Adam's


@dataclass(frozen=True, eq=False)
class Best:
    """The lowest validation loss so far, when it was met, and θ there (on the host)."""

    loss: float
    step: int
    theta: Any


@dataclass(frozen=True, eq=False)
class TrainingState:
    """A training after `step` steps.

    Attributes:
        step: Steps done.
        theta: θ, as `stack_layers` gives it once it is on the devices.
        moments: State of the optimizer, like θ.
        best: Where the validation loss was lowest; None without validation.
        history: A row per step.
    """

    step: int
    theta: Any
    moments: Any
    best: Best | None
    history: list[dict[str, Any]]

    def replicated(self, mesh: Mesh) -> "TrainingState":
        """The same with θ and moments on every device."""
        theta, moments = replicate(stack_layers((self.theta, self.moments)), mesh)
        return replace(self, theta=theta, moments=moments)

    def validated(self, loss: float) -> "TrainingState":
        """The same with a validation loss, and with θ as the best one if it is."""
        *before, row = self.history
        best = self.best
        if best is None or loss < best.loss:
            best = Best(loss, self.step, on_host(self.theta))
        history = [*before, {**row, "validation_loss": loss}]
        return replace(self, best=best, history=history)


def on_host(tree: Any) -> Any:
    """θ, or moments, of a state, with a leaf for each layer."""
    return unstack_layers(jax.device_get(tree))


def first_state(theta: Any, optimizer: AdamW) -> TrainingState:
    """The state before the first step."""
    return TrainingState(0, theta, optimizer.start(theta), None, [])


def to_checkpoint(state: TrainingState) -> Checkpoint:
    """What decides every later step, on the host."""
    moments = {name: optax.tree.get(state.moments, name) for name in _MOMENTS}
    arrays = on_host({"theta": state.theta, **moments})
    facts = {"history": state.history, "best": None}
    if state.best is not None:
        arrays["best_theta"] = state.best.theta
        facts["best"] = {"loss": state.best.loss, "step": state.best.step}
    return Checkpoint(state.step, arrays, facts)


def from_checkpoint(checkpoint: Checkpoint, optimizer: AdamW) -> TrainingState:
    """The state that was saved."""
    arrays, facts = checkpoint.arrays, checkpoint.facts
    theta = arrays["theta"]
    kept = {name: arrays[name] for name in _MOMENTS}
    moments = optax.tree.set(optimizer.start(theta), **kept)
    best = None
    if facts["best"] is not None:
        best = Best(**facts["best"], theta=arrays["best_theta"])
    return TrainingState(checkpoint.step, theta, moments, best, facts["history"])
