"""Against dense float64 Jacobians of the pooled hidden state of a tiny decoder."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkjax.data.batches import make_batch
from ntkjax.devices.mesh import data_mesh
from ntkjax.fidelity.measure import NonFiniteKernel, channel_grams, output_blocks
from ntkjax.math.sketches import shift_sketch
from ntkjax.models.lora import LoraSettings
from ntkjax.outputs.pooled import PooledHidden
from tests.oracles import jacobians, to_float64
from tests.problems import random_examples, random_model, tiny_config


CONFIG = tiny_config(num_layers=1)
HIDDEN = CONFIG.hidden_size


@functools.cache
def problem():
    lora = LoraSettings(rank=2, targets=("q_proj", "down_proj"))
    model, theta = random_model(CONFIG, lora)
    xs = make_batch(random_examples(3, seed=1), "response")
    ys = make_batch(random_examples(5, seed=2), "response")
    return PooledHidden(model), theta, xs, ys


@functools.cache
def dense():
    """[n, d, P] and [m, d, P]."""
    base, theta, xs, ys = problem()
    with jax.enable_x64(True):
        wide = PooledHidden(base.model.astype(jnp.float64))
        theta = to_float64(theta)
        return jacobians(wide, theta, xs), jacobians(wide, theta, ys)


def draw_probes(s: int) -> np.ndarray:
    return np.random.default_rng(s).normal(size=(HIDDEN, s))


def expected_grams(probes):
    at_x, at_y = (np.einsum("ncp,cs->snp", rows, probes) for rows in dense())
    cross = np.einsum("snp,smp->snm", at_x, at_y)
    return cross, np.einsum("snp,snp->sn", at_x, at_x), at_x, at_y


def assert_close(found, expected):
    """float32 derivatives against float64: 1e-4 of the largest entry.

    The gradient of candidate 1 is ill-conditioned: 3e-6 off in float32, jitted or not,
    on both tested versions of jax, and it is nearly orthogonal to that of query 0.
    """
    assert found.dtype == np.float64
    atol = 1e-4 * np.abs(expected).max()
    np.testing.assert_allclose(found, expected, rtol=0, atol=atol)


@pytest.mark.slow
# 8 channels per device and pass: less than one pass, one, and one and a bit
@pytest.mark.parametrize(
    ("num_channels", "devices", "passes"),
    [(3, 1, [3]), (11, 1, [8, 3]), (3, 2, [3]), (16, 2, [16]), (19, 2, [16, 3])],
)
def test_channel_grams(num_channels, devices, passes):
    base, theta, xs, ys = problem()
    probes = draw_probes(num_channels)
    done = []
    found = channel_grams(
        base, theta, xs, ys, probes, mesh=data_mesh(devices), advance=done.append
    )
    cross, own, *_ = expected_grams(probes)
    assert found.cross.shape == (1, num_channels, 3, 5)
    assert found.own.shape == (1, num_channels, 3)
    assert_close(found.cross[0], cross)
    assert_close(found.own[0], own)
    assert done == passes


@pytest.mark.slow
def test_sketched_inner_products():
    """The plain product first, then ⟨S g, S h⟩ for each sketch in turn."""
    base, theta, xs, ys = problem()
    probes = draw_probes(3)
    cross, _, at_x, at_y = expected_grams(probes)
    size = at_x.shape[-1]
    keys = jax.random.split(jax.random.key(5))
    sketches = [
        shift_sketch(size, k, key) for k, key in zip((16, 64), keys, strict=True)
    ]
    found = channel_grams(base, theta, xs, ys, probes, sketches, mesh=data_mesh(2))
    assert found.cross.shape == (3, 3, 3, 5)
    assert_close(found.cross[0], cross)
    for index, sketch in enumerate(sketches, start=1):
        # the sketch is linear: its matrix, column by column
        matrix = np.asarray(jax.vmap(sketch)(jnp.eye(size, dtype=jnp.float32)))
        short_x, short_y = (g @ matrix.astype(np.float64) for g in (at_x, at_y))
        assert_close(found.cross[index], np.einsum("snk,smk->snm", short_x, short_y))
        assert_close(found.own[index], np.einsum("snk,snk->sn", short_x, short_x))
        assert np.abs(found.cross[index] - cross).max() > 0.01 * np.abs(cross).max()


def test_one_and_two_devices_agree_to_the_bit():
    """Each channel is computed by the same program wherever it lands."""
    base, theta, xs, ys = problem()
    probes = draw_probes(11)
    one, two = (
        channel_grams(base, theta, xs, ys, probes, mesh=data_mesh(devices))
        for devices in (1, 2)
    )
    np.testing.assert_array_equal(one.cross, two.cross)
    np.testing.assert_array_equal(one.own, two.own)


def test_nan_is_refused_with_its_place():
    base, theta, xs, ys = problem()
    spoiled = theta | {name: leaf.at[0, 0].set(jnp.nan) for name, leaf in theta.items()}
    with pytest.raises(NonFiniteKernel, match="query 0 with itself"):
        channel_grams(base, spoiled, xs, ys, draw_probes(3), mesh=data_mesh(2))


def test_nan_of_one_candidate_is_found_there():
    base, theta, xs, ys = problem()
    weights = ys.weights.at[3, 0].set(jnp.inf)
    bad = type(ys)(ys.tokens, ys.targets, weights)
    with pytest.raises(NonFiniteKernel, match="query 0 with candidate 3"):
        channel_grams(base, theta, xs, bad, draw_probes(3), mesh=data_mesh(2))


@pytest.mark.slow
@pytest.mark.parametrize("devices", [1, 2])
def test_output_blocks(devices):
    """3 examples on 2 devices: the last row is filled up and dropped again."""
    base, theta, xs, _ = problem()
    probes = draw_probes(4)
    found = output_blocks(base, theta, xs, probes, mesh=data_mesh(devices))
    at_x = np.einsum("ncp,cs->nsp", dense()[0], probes)
    assert_close(found, np.einsum("nsp,ntp->nst", at_x, at_x))
