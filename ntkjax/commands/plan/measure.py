"""Rates of this machine: some batches of every program that a selection needs.

The real programs run on random tokens of the commonest length. Each is called once to
compile it, then twice for its rate.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from ntkjax.checkpoints.full import full_theta
from ntkjax.commands.plan.costs.hardware import Hardware
from ntkjax.commands.plan.costs.programs import PROGRAMS, STEP
from ntkjax.commands.plan.costs.roofline import Rate
from ntkjax.commands.plan.passes import passes_of
from ntkjax.commands.plan.selection import Selection
from ntkjax.data.tokenizing import TokenizedExample
from ntkjax.devices.mesh import data_mesh, replicate
from ntkjax.errors import InputError, setting
from ntkjax.kernels.probe_kernel import ProbeKernel
from ntkjax.math.sketches import SKETCHES
from ntkjax.models.language_model import LanguageModel, split_model
from ntkjax.models.lora import initial_theta
from ntkjax.models.stacking import held_shapes
from ntkjax.notation import Theta
from ntkjax.outputs.divergence import Divergence
from ntkjax.outputs.loss import Loss
from ntkjax.outputs.pooled import PooledHidden
from ntkjax.passes.embeddings import embeddings
from ntkjax.passes.gradient_sketches import gradient_sketches
from ntkjax.passes.kernel_scores import domain_direction, kernel_scores
from ntkjax.passes.loss_gradients import (
    fisher_diagonal,
    gradient_products_and_norms,
    loss_gradient_sum,
    loss_products,
    losses,
)
from ntkjax.passes.run_pass import Batching
from ntkjax.runs.model import DTYPES, prepare
from ntkjax.selection.passes import Pass
from ntkjax.training.loop import train_adapter


_BATCHES = 2
"""Batches of a call, so that one overlaps with the next as in a long pass."""


def require_here(hardware: Hardware) -> None:
    """Raises `InputError` unless this machine has so many devices of that kind."""
    backend = jax.default_backend()
    if hardware.platform != backend:
        raise InputError(
            f"this machine computes on {backend}, but {setting('hardware')} is "
            f"{hardware.name}; measure where such devices are, or leave it out.",
            field="measure",
        )
    number = jax.local_device_count()
    if number != hardware.num_chips:
        raise InputError(
            f"this machine has {number} devices, but {setting('hardware')} is "
            f"{hardware.name}; give the number that is here, or leave it out.",
            field="measure",
        )


def measured_rates(selection: Selection, folder: Path) -> dict[str, Rate]:
    """A rate for every program of the selection.

    Args:
        selection: Its programs are run.
        folder: The model's; without weights in it, random ones are taken.
    """
    model, theta = _model(selection, folder)
    rates = {}
    for each in passes_of(selection):
        if each.program is not None and each.program not in rates:
            rates[each.program] = _rate(each, selection, model, theta)
    if selection.warmup_seen:
        rates[STEP] = _step_rate(selection, model, theta)
    return rates


def _model(selection: Selection, folder: Path) -> tuple[LanguageModel, Theta]:
    """The real one where there are weights, else one of the same shape."""
    cost, settings = selection.cost, selection.settings
    if any(folder.glob("*.safetensors")):
        found = prepare(
            folder,
            cost.lora,
            settings.adapter,
            dtype=cost.dtype,
            seed=settings.seed,
        )
        return found.model, found.theta
    dtype = DTYPES[cost.dtype]
    graphdef, _, shapes = split_model(cost.config, cost.lora, dtype)
    held = held_shapes(cost.config, shapes)
    frozen = {n: jnp.full(leaf.shape, 0.01, dtype) for n, leaf in held.items()}
    model = LanguageModel(cost.config, cost.lora, graphdef, frozen)
    if cost.lora is None:
        return model, full_theta(model)
    return model, initial_theta(model.theta_shapes, jax.random.key(settings.seed))


def _rate(each: Pass, selection: Selection, model: LanguageModel, theta: Theta) -> Rate:
    assert each.program is not None
    settings = selection.settings
    mesh = data_mesh()
    batching = Batching("all", settings.tokens_per_batch, settings.max_length, mesh)
    lengths = selection.workload.of(each.side)
    size = batching.rows_at(lengths.commonest)
    examples = _examples(_BATCHES * size, lengths.commonest, model)
    run = _RUNNERS[each.program]
    model, theta = replicate((model, theta), mesh)
    call = _Call(model, theta, examples, batching, each.outputs, selection)
    program = lambda: run(call)
    first, again = _timed(program), min(_timed(program), _timed(program))
    work = PROGRAMS[each.program].work(selection.cost, lengths.commonest, each.outputs)
    return Rate(again / len(examples), max(0.0, first - again), work.total)


def _step_rate(selection: Selection, model: LanguageModel, theta: Theta) -> Rate:
    """From trainings of one step and of a few more."""
    settings = selection.settings
    tokens = selection.training_lengths.commonest
    examples = _examples(settings.training.batch_size, tokens, model)

    def train(steps: int) -> float:
        training = replace(
            settings.training, epochs=None, token_budget=None, steps=steps
        )
        return _timed(
            lambda: train_adapter(
                model,
                theta,
                [examples],
                training,
                seed=0,
                max_length=settings.max_length,
                mesh=data_mesh(),
            )
        )

    first, one, more = train(1), train(1), train(1 + _BATCHES)
    step = max((more - one) / _BATCHES, 1e-9)
    work = PROGRAMS[STEP].work(selection.cost, tokens, 1)
    return Rate(step / len(examples), max(0.0, first - one), work.total)


@dataclass(frozen=True)
class _Call:
    """What a program is called with."""

    model: LanguageModel
    theta: Theta
    examples: list[TokenizedExample]
    batching: Batching
    outputs: int
    selection: Selection

    @property
    def loss(self) -> Loss:
        return Loss(self.model)

    @property
    def kernel(self) -> ProbeKernel:
        s = self.outputs
        probes = np.ones((self.model.config.hidden_size, s)) / math.sqrt(s)
        return ProbeKernel("probes", probes, np.ones(s), (("", "probe"),) * s)

    @property
    def directions(self) -> Theta:
        shape = lambda leaf: jnp.ones((self.outputs, *leaf.shape), jnp.float32)
        return jax.tree.map(shape, self.theta)

    @property
    def sketch(self):
        options, count = self.selection.settings.sketch, self.selection.cost.num_theta
        return SKETCHES[options.kind](count, options.size, jax.random.key(0))


def _on_loss(function: Callable) -> Callable[[_Call], object]:
    return lambda c: function(c.loss, c.theta, c.examples, c.batching)


def _along(function: Callable) -> Callable[[_Call], object]:
    return lambda c: function(c.loss, c.theta, c.theta, c.examples, c.batching)


_RUNNERS: dict[str, Callable[[_Call], object]] = {
    "embedding": lambda c: embeddings(c.model, c.theta, c.examples, c.batching),
    "loss": _on_loss(losses),
    "kernel score": lambda c: kernel_scores(
        PooledHidden(c.model), c.kernel, c.theta, c.directions, c.examples, c.batching
    ),
    "kernel direction": lambda c: domain_direction(
        PooledHidden(c.model), c.kernel, c.theta, c.examples, c.batching
    ),
    "loss product": _along(loss_products),
    "loss gradient": _on_loss(loss_gradient_sum),
    "gradients": _along(gradient_products_and_norms),
    "sketch": lambda c: gradient_sketches(
        c.loss, c.theta, c.examples, c.batching, c.sketch
    ),
    "squared gradient": _on_loss(fisher_diagonal),
    "divergence": lambda c: loss_gradient_sum(
        Divergence(c.model, c.theta, c.selection.settings.dualsft.temperature),
        c.theta,
        c.examples,
        c.batching,
    ),
}


def _examples(count: int, tokens: int, model: LanguageModel) -> list[TokenizedExample]:
    rng = np.random.default_rng([count, tokens])
    size = model.config.vocab_size
    targets = np.arange(tokens) >= tokens // 2
    return [
        TokenizedExample(
            str(k), rng.integers(0, size, tokens, np.int32), targets, False
        )
        for k in range(count)
    ]


def _timed(action: Callable[[], object]) -> float:
    started = time.perf_counter()
    jax.block_until_ready(action())
    return time.perf_counter() - started
