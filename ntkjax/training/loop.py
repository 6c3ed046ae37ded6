"""Fine-tuning of θ on one device or several, resumable, the same bits every time."""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Bool

from ntkjax.data.tokenizing import TokenizedExample
from ntkjax.devices.mesh import num_groups, replicate
from ntkjax.devices.teams import Team
from ntkjax.errors import InputError, setting
from ntkjax.models.language_model import LanguageModel
from ntkjax.models.stacking import stack_layers
from ntkjax.store.run_path import RunPath
from ntkjax.training.checkpoints import Checkpoints, training_identity
from ntkjax.training.plan import Plan, require_targets
from ntkjax.training.programs import AdamW, step_program
from ntkjax.training.rows import Layout, fill_rows, num_targets
from ntkjax.training.schedule import learning_rate
from ntkjax.training.settings import TrainingSettings
from ntkjax.training.state import (
    TrainingState,
    first_state,
    from_checkpoint,
    on_host,
    to_checkpoint,
)
from ntkjax.training.validation import Validation, name_some, non_finite


@dataclasses.dataclass(frozen=True, eq=False)
class TrainedAdapter:
    """What a training found; arrays are on the default device.

    Attributes:
        theta: θ after the last step.
        best_theta: θ with the lowest validation loss; the last where there is none.
        best_step: The number of steps after which it was reached.
        history: A row per step, with `step` (from 1), `loss` (mean over the step's
            target tokens, before the update), `learning_rate`, `tokens` (seen so far,
            prompts included), `gradient_norm` (before clipping), `validation_loss`
            (after the update, None where it was not computed).
    """

    theta: dict[str, Array]
    best_theta: dict[str, Array]
    best_step: int
    history: list[dict[str, Any]]


def train_adapter(
    model: LanguageModel,
    theta,
    sources: Sequence[Sequence[TokenizedExample]],
    settings: TrainingSettings,
    *,
    seed: int,
    max_length: int,
    mix: tuple[float, ...] | None = None,
    validation: Sequence[TokenizedExample] = (),
    validate_every: int | None = None,
    mask: dict[str, Bool[np.ndarray, "..."]] | None = None,
    mesh: Mesh,
    checkpoints: RunPath | None = None,
    save_every: int = 50,
    advance: Callable[[int], None] = lambda count: None,
    record: Callable[[dict[str, Any]], None] = lambda row: None,
    observe: Callable[[TrainingState], None] = lambda state: None,
    say: Callable[[str], None] = lambda line: None,
) -> TrainedAdapter:
    """Trains θ with AdamW on the mean loss over each step's target tokens.

    Cost: about F + 2B per example and step.

    Args:
        model: Frozen weights and graph.
        theta: Where to start.
        sources: Lists of examples.
        settings: How long, in which steps, with which optimizer.
        seed: Decides the order of the examples.
        max_length: Longest padded length; no example may be longer.
        mix: Weights of the sources. Default: every example once per epoch.
        validation: Held-out examples.
        validate_every: Steps between validations. Default: those of an epoch. The
            last step is always followed by one.
        mask: Which numbers of θ may move; the others keep their bits, also under weight
            decay, and count neither for clipping nor for `gradient_norm`.
        mesh: Devices that share the examples.
        checkpoints: Folder of checkpoints. With one of the same training in it, the
            training goes on from there, to the same bits where micro-batch and mesh
            are the same, too.
        save_every: Steps between checkpoints; one that would make saving take a large
            share of the time is left out.
        advance: Called with the number of steps done.
        record: Called with every row of the history in order, with those of before an
            interruption too.
        observe: Called with the state after every step, before it is saved. Steps of
            before the newest checkpoint are not seen again.
        say: Called with a line about checkpoints that could not be read.

    Raises:
        InputError: If settings or data cannot be used, if a loss or gradient is not
            finite, or if the checkpoints belong to another training.
        ValueError: If the mask is not of θ's names and shapes.
    """
    _require_like(theta, mask)
    plan = Plan(sources, settings, seed, mix)
    require_targets(validation)
    if validate_every is None:
        validate_every = plan.steps_per_epoch
    store = None
    if checkpoints is not None:
        # The micro-batch only rounds: a training may go on with another.
        decided = replace(settings, micro_batch=None)
        decides = (decided, seed, mix, max_length, validate_every)
        data = [*sources, validation]
        identity = training_identity(model, theta, data, decides, mask)
        store = Checkpoints(checkpoints, identity, Team(mesh), say)
    try:
        take_step = _Stepper(
            *(replicate(model, mesh), replicate(stack_layers(mask), mesh)),
            *(plan, settings, max_length, mesh),
        )
        micro_batch = take_step.layout.micro_batch
        loss = Validation(validation, micro_batch, max_length, mesh)
        state = _start(theta, take_step.optimizer, store).replicated(mesh)
        for row in state.history:
            record(row)
        advance(state.step)
        while state.step < plan.num_steps:
            state = take_step(state)
            last = state.step == plan.num_steps
            if validation and (last or state.step % validate_every == 0):
                state = state.validated(loss(take_step.model, state.theta))
            record(state.history[-1])
            observe(state)
            advance(1)
            if store and (last or (state.step % save_every == 0 and store.may_save())):
                store.save(to_checkpoint(state))
    finally:
        if store:
            store.close()
    return _finished(state)


def _require_like(theta, mask: dict[str, np.ndarray] | None) -> None:
    shapes = {name: leaf.shape for name, leaf in theta.items()}
    if mask is not None and {n: leaf.shape for n, leaf in mask.items()} != shapes:
        raise ValueError("the mask needs the names and shapes of θ.")


def _start(theta, optimizer: AdamW, store: Checkpoints | None) -> TrainingState:
    """The state to begin with: the newest checkpoint's, or that before all steps."""
    found = None if store is None else store.newest()
    if found is None:
        return first_state(theta, optimizer)
    return from_checkpoint(found, optimizer)


class _Stepper:
    """Takes a state one step further."""

    def __init__(
        self,
        model: LanguageModel,
        mask: Any,
        plan: Plan,
        settings: TrainingSettings,
        max_length: int,
        mesh: Mesh,
    ):
        micro_batch = settings.micro_batch or settings.batch_size
        accumulation = settings.batch_size // micro_batch
        self.layout = Layout(accumulation, micro_batch, num_groups(mesh))
        self.optimizer = AdamW(
            settings.beta1,
            settings.beta2,
            settings.weight_decay,
            settings.max_grad_norm,
        )
        self.model, self._mask = model, mask
        self._plan, self._settings = plan, settings
        self._max_length, self._mesh = max_length, mesh

    def __call__(self, state: TrainingState) -> TrainingState:
        """Raises `InputError` where a loss or the gradient is not finite."""
        examples = self._plan.step(state.step)
        rows = fill_rows(examples, self.layout, self._max_length)
        rate = learning_rate(self._settings, state.step, self._plan.num_steps)
        count = num_targets(rows)
        theta, moments, norm, sums = step_program(self._mesh, self.optimizer)(
            self.model,
            state.theta,
            state.moments,
            rows,
            np.float32(rate),
            np.float32(count),
            self._mask,
        )
        norm, sums = jax.device_get((norm, sums))
        step = state.step + 1
        _require_finite(step, norm, examples, non_finite(sums, examples, self.layout))
        before = state.history[-1]["tokens"] if state.history else 0
        row = {
            "step": step,
            "loss": float(sums.astype(np.float64).sum()) / count,
            "learning_rate": rate,
            "tokens": before + sum(len(example.tokens) for example in examples),
            "gradient_norm": float(norm),
            "validation_loss": None,
        }
        history = [*state.history, row]
        return TrainingState(step, theta, moments, state.best, history)


def _require_finite(
    step: int,
    norm: np.ndarray,
    examples: Sequence[TokenizedExample],
    bad: Sequence[TokenizedExample],
) -> None:
    if bad or not np.isfinite(norm):
        what = "the loss" if bad else "the gradient"
        raise InputError(
            f"step {step}: {what} of {name_some(bad or examples)} is NaN or infinite; "
            f"try a lower {setting('training.learning_rate')}, or {setting('dtype')} "
            "float32."
        )


def _finished(state: TrainingState) -> TrainedAdapter:
    theta = on_host(state.theta)
    for name, leaf in theta.items():
        if not np.isfinite(leaf).all():
            raise InputError(
                f"step {state.step}: {name} is NaN or infinite after the update; try a "
                f"lower {setting('training.learning_rate')}."
            )
    best_step, best_theta = state.step, theta
    if state.best is not None:
        best_step, best_theta = state.best.step, state.best.theta
    theta, best_theta = jax.tree.map(jnp.asarray, (theta, best_theta))
    return TrainedAdapter(theta, best_theta, best_step, state.history)
