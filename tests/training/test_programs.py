"""Losses and steps against float64, one example and one parameter after the other."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ntkjax.devices.mesh import data_mesh, replicate
from ntkjax.passes.run_pass import data_parallel
from ntkjax.training import programs
from ntkjax.training.programs import AdamW, loss_sums_of, step_program
from ntkjax.training.rows import Layout, fill_rows, num_targets
from tests.oracles import normwise, to_float64
from tests.training.problem import EXAMPLES, MAX_LENGTH, mean_loss, small_model


RATE = 1e-2
CONSTANTS = AdamW(beta1=0.9, beta2=0.999, weight_decay=0.0, max_grad_norm=1.0)


def adamw(theta, gradients, constants: AdamW):
    """AdamW as published, after clipping, in float64."""
    mean = {name: np.zeros(leaf.shape) for name, leaf in theta.items()}
    square = {name: np.zeros(leaf.shape) for name, leaf in theta.items()}
    theta = {name: np.asarray(leaf, np.float64) for name, leaf in theta.items()}
    b1, b2 = constants.beta1, constants.beta2
    for t, gradient in enumerate(gradients, start=1):
        norm = np.sqrt(sum(np.sum(leaf**2) for leaf in gradient.values()))
        clipped = constants.max_grad_norm and norm > constants.max_grad_norm
        factor = constants.max_grad_norm / norm if clipped else 1
        for name, leaf in gradient.items():
            leaf = factor * leaf
            mean[name] = b1 * mean[name] + (1 - b1) * leaf
            square[name] = b2 * square[name] + (1 - b2) * leaf**2
            direction = (mean[name] / (1 - b1**t)) / (
                np.sqrt(square[name] / (1 - b2**t)) + 1e-8
            )
            decay = constants.weight_decay * theta[name]
            theta[name] = theta[name] - RATE * (direction + decay)
    return theta


def dense_gradient(model, theta, examples):
    with jax.enable_x64(True):
        wide, theta = model.astype(jnp.float64), to_float64(theta)
        loss = jax.jit(lambda theta: mean_loss(wide, theta, examples))
        return {k: np.asarray(v) for k, v in jax.grad(loss)(theta).items()}


def take_step(model, theta, examples, layout, constants=CONSTANTS, mask=None):
    mesh = data_mesh(layout.num_groups)
    rows = fill_rows(examples, layout, MAX_LENGTH)
    moments = constants.start(theta)
    model, theta, moments, mask = replicate((model, theta, moments, mask), mesh)
    return step_program(mesh, constants)(
        model,
        theta,
        moments,
        rows,
        np.float32(RATE),
        np.float32(num_targets(rows)),
        mask,
    )


def change(after, before) -> np.ndarray:
    return np.concatenate(
        [(np.asarray(after[n], np.float64) - before[n]).ravel() for n in before]
    )


@pytest.mark.slow
def test_loss_sums_are_the_plain_ones():
    model, theta = small_model()
    mesh = data_mesh(2)
    rows = fill_rows(EXAMPLES, Layout(1, 12, 2), MAX_LENGTH)
    program = data_parallel(loss_sums_of, mesh)
    sums = np.asarray(program((model, theta), (rows.tokens[0], rows.targets[0])))
    for index, example in enumerate(EXAMPLES):
        mean = float(mean_loss(model, theta, [example]))
        expected = mean * int(example.targets[1:].sum())
        assert sums[index] == pytest.approx(expected, rel=1e-5)
    assert sums[11] == 0  # an empty row


@pytest.mark.slow
def test_blocks_of_logits_change_nothing(monkeypatch):
    """A block of 7 positions, which divides nothing, against all at once."""
    model, theta = small_model()
    rows = fill_rows(EXAMPLES, Layout(1, 11, 1), MAX_LENGTH)
    tokens, targets = (jnp.asarray(array[0]) for array in rows)

    def compute():
        total = lambda theta: programs.loss_sums(model, theta, tokens, targets).sum()
        return jax.jit(jax.value_and_grad(total))(theta)

    loss, gradient = compute()
    monkeypatch.setattr(programs, "_LOGITS", 7 * model.config.vocab_size)
    small_loss, small_gradient = compute()
    assert small_loss == pytest.approx(float(loss), rel=1e-6)
    for name, leaf in gradient.items():
        assert normwise(small_gradient[name], leaf) < 1e-5


@pytest.mark.parametrize("max_grad_norm", [0.0, 0.5])
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_updates_are_adamw(max_grad_norm, weight_decay):
    """Three updates by random gradients, the first and the last of which are clipped.
    The bias correction 1 − β₂ᵗ loses three digits of float32."""
    constants = AdamW(0.8, 0.999, weight_decay, max_grad_norm)
    rng = np.random.default_rng(0)
    before = {n: jnp.asarray(rng.normal(size=(3, 2)), jnp.float32) for n in "ab"}
    gradients = [
        {n: size * rng.normal(size=(3, 2)) for n in "ab"} for size in (3, 0.01, 1)
    ]
    theta, moments = before, constants.start(before)
    for gradient in gradients:
        narrow = {n: jnp.asarray(leaf, jnp.float32) for n, leaf in gradient.items()}
        update, moments = constants.update(narrow, moments, theta)
        theta = {n: leaf - jnp.float32(RATE) * update[n] for n, leaf in theta.items()}
    expected = adamw(before, gradients, constants)
    assert normwise(change(theta, before), change(expected, before)) < 1e-4


@pytest.mark.slow
def test_a_step_is_adamw_on_the_dense_gradient():
    """Adam divides by the gradient's own size, so that rounding of small entries shows:
    1e-3 of the change, while the gradient itself is right to 1e-5."""
    model, theta = small_model()
    after, moments, norm, _ = take_step(model, theta, EXAMPLES[:4], Layout(1, 4, 2))
    gradient = dense_gradient(model, theta, EXAMPLES[:4])
    size = np.sqrt(sum(np.sum(leaf**2) for leaf in gradient.values()))
    assert float(norm) == pytest.approx(size, rel=1e-5)
    mean = optax.tree.get(moments, "mu")
    for name, leaf in gradient.items():
        expected = (1 - CONSTANTS.beta1) * leaf / max(1, size)
        assert normwise(mean[name], expected) < 1e-5
    expected = adamw(theta, [gradient], CONSTANTS)
    assert normwise(change(after, theta), change(expected, theta)) < 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("layout", [Layout(1, 4, 2), Layout(2, 2, 2)], ids=str)
def test_accumulation_and_devices_change_nothing(layout):
    """Four examples, of unlike lengths, in rows shared out in other ways."""
    model, theta = small_model()
    whole = take_step(model, theta, EXAMPLES[:4], Layout(1, 4, 1))
    split = take_step(model, theta, EXAMPLES[:4], layout)
    expected, found = (optax.tree.get(result[1], "mu") for result in (whole, split))
    zero = {name: np.zeros(leaf.shape) for name, leaf in theta.items()}
    assert normwise(change(found, zero), change(expected, zero)) < 1e-6
    assert float(split[2]) == pytest.approx(float(whole[2]), rel=1e-6)
    sums = [np.asarray(result[3]).sum() for result in (whole, split)]
    assert sums[1] == pytest.approx(sums[0], rel=1e-6)


def test_empty_rows_change_nothing():
    """Three examples where there is room for four."""
    model, theta = small_model()
    _, moments, norm, sums = take_step(model, theta, EXAMPLES[:3], Layout(1, 4, 2))
    gradient = dense_gradient(model, theta, EXAMPLES[:3])
    size = np.sqrt(sum(np.sum(leaf**2) for leaf in gradient.values()))
    assert float(norm) == pytest.approx(size, rel=1e-5)
    assert np.asarray(sums)[0, 3] == 0
    name = "model.layers.0.mlp.down_proj.lora_A"
    expected = (1 - CONSTANTS.beta1) * gradient[name] / max(1, size)
    assert normwise(optax.tree.get(moments, "mu")[name], expected) < 1e-5


@pytest.mark.slow
def test_a_frozen_model_in_bfloat16_trains_in_float32():
    model, theta = small_model()
    after, moments, norm, _ = take_step(
        model.astype(jnp.bfloat16), theta, EXAMPLES[:4], Layout(1, 4, 2)
    )
    leaves = [*after.values(), *optax.tree.get(moments, "nu").values()]
    assert {leaf.dtype for leaf in leaves} == {jnp.dtype("float32")}
    assert np.isfinite(float(norm))


@pytest.mark.slow
def test_a_masked_step_is_adamw_on_the_masked_gradient():
    """Clipped by the norm of what is left, so that a forgotten coordinate shows in the
    others. Weight decay would move the masked ones."""
    constants = dataclasses.replace(CONSTANTS, weight_decay=0.1, max_grad_norm=0.05)
    model, theta = small_model()
    rng = np.random.default_rng(0)
    mask = {name: rng.random(leaf.shape) < 0.4 for name, leaf in theta.items()}
    layout = Layout(1, 4, 2)
    after, moments, norm, _ = take_step(
        model, theta, EXAMPLES[:4], layout, constants, mask
    )
    gradient = dense_gradient(model, theta, EXAMPLES[:4])
    gradient = {name: mask[name] * leaf for name, leaf in gradient.items()}
    size = np.sqrt(sum(np.sum(leaf**2) for leaf in gradient.values()))
    assert size > constants.max_grad_norm
    assert float(norm) == pytest.approx(size, rel=1e-5)
    expected = adamw(theta, [gradient], constants)
    expected = {n: np.where(mask[n], expected[n], theta[n]) for n in theta}
    assert normwise(change(after, theta), change(expected, theta)) < 1e-3
    for name, leaf in theta.items():
        out = ~mask[name]
        for moment in ("mu", "nu"):
            assert not np.asarray(optax.tree.get(moments, moment)[name])[out].any()
        np.testing.assert_array_equal(
            np.asarray(after[name])[out].view(np.int32),
            np.asarray(leaf)[out].view(np.int32),
        )
