import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkjax.data.batches import make_batch
from ntkjax.devices.mesh import data_mesh
from ntkjax.errors import InputError
from ntkjax.kernels.readout import read_readout, readout_function
from ntkjax.kernels.table import named_kernel
from ntkjax.models.lora import LoraSettings
from ntkjax.passes.kernel_scores import domain_direction, domain_scorer, probe_blocks
from ntkjax.passes.run_pass import Batching
from tests.oracles import normwise
from tests.problems import random_examples, random_model, tiny_config


LORA = LoraSettings(rank=2, targets=("q_proj", "down_proj"))
# one layer and six hidden numbers: most of the time goes into compiling
SMALL = tiny_config(num_layers=1, hidden_size=6)
MODEL, THETA = random_model(SMALL, LORA)
READOUT = read_readout(MODEL)
BASE = readout_function(MODEL, READOUT)
DOMAIN = random_examples(5, seed=3, longest=14)
POOL = random_examples(9, seed=4, longest=14)


def batching(num_devices=2, **changes):
    fields = {"pooling": "all", "tokens_per_batch": 60, "max_length": 14}
    return Batching(mesh=data_mesh(num_devices), **(fields | changes))


def kernel_named(name):
    return named_kernel(name, READOUT, 7)


@jax.jit
def jacobian(base, theta, x):
    return jax.jacrev(lambda t: base(t, x))(theta)


def jacobians(base, theta, batch):
    """∇h̄ of each example, [n, d, P]; one program for all kernels."""
    rows = []
    for k in range(len(batch.tokens)):
        leaves = jacobian(base, theta, jax.tree.map(lambda leaf, k=k: leaf[k], batch))
        flat = [np.reshape(leaf, (len(leaf), -1)) for leaf in jax.tree.leaves(leaves)]
        rows.append(np.concatenate(flat, axis=1, dtype=np.float64))
    return np.stack(rows)


def mean_of_gram(base, kernel, theta, domain, pool, pooling="all", normalize=True):
    """The mean over the domain of Σ_j w_j ⟨∇p_jᵀf(d), ∇p_jᵀf(x)⟩, from all pairs."""
    at_domain, at_pool = (
        np.einsum(
            "dj,ndp->njp",
            kernel.probes,
            jacobians(base, theta, make_batch(side, pooling, 14, normalize)),
        )
        for side in (domain, pool)
    )
    each = np.einsum("njp,mjp->jnm", at_domain, at_pool)
    return np.tensordot(kernel.weights, each, axes=1).mean(axis=0)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    ["summed", "spectral_6", "random_6", "deflated_2_4", "centered", "exact"],
)
def test_equals_the_mean_of_the_gram(name):
    kernel = kernel_named(name)
    found = domain_scorer(BASE, kernel, THETA, DOMAIN, batching())(POOL)
    expected = mean_of_gram(BASE, kernel, THETA, DOMAIN, POOL)
    assert found.dtype == np.float64
    # float32 derivatives on both sides: 1e-6; ten times more where channels cancel
    assert normwise(found, expected) < 1e-5


@pytest.mark.parametrize("pooling", ["response", "last", "weighted"])
@pytest.mark.parametrize("normalize", [True, False])
def test_pooling_and_length_normalization_count_on_both_sides(pooling, normalize):
    kernel = kernel_named("summed")
    how = batching(pooling=pooling, length_normalize=normalize)
    found = domain_scorer(BASE, kernel, THETA, DOMAIN, how)(POOL)
    expected = mean_of_gram(BASE, kernel, THETA, DOMAIN, POOL, pooling, normalize)
    assert normwise(found, expected) < 1e-5


def test_blocks_of_probes_add_up():
    """There is room for less than one direction: each has a block of its own."""
    most_bytes = 4 * sum(leaf.size for leaf in THETA.values()) - 1
    kernel = kernel_named("centered")
    counts = []
    scores = domain_scorer(
        BASE, kernel, THETA, DOMAIN, batching(), most_bytes=most_bytes
    )
    found = scores(POOL, counts.append)
    assert sum(counts) == len(POOL)
    whole = domain_scorer(BASE, kernel, THETA, DOMAIN, batching())(POOL)
    assert normwise(found, whole) < 1e-5
    np.testing.assert_array_equal(scores(POOL), found)


def test_probe_blocks_are_even_and_whole():
    kernel = kernel_named("centered")
    blocks = probe_blocks(kernel, 5)
    assert [block.num_outputs for block in blocks] == [4, 3]
    for name in ("probes", "weights"):
        joined = np.concatenate([getattr(b, name) for b in blocks], axis=-1)
        np.testing.assert_array_equal(joined, getattr(kernel, name))
    assert sum((block.labels for block in blocks), ()) == kernel.labels


@pytest.mark.slow
@pytest.mark.parametrize(
    ("num_devices", "changes"),
    [(1, {"tokens_per_batch": 120, "max_length": 17}), (2, {"tokens_per_batch": 1})],
)
def test_do_not_depend_on_batches_padding_order_or_devices(num_devices, changes):
    kernel = kernel_named("spectral_6")
    expected = domain_scorer(BASE, kernel, THETA, DOMAIN, batching())(POOL)
    how = batching(num_devices, **changes)
    order = np.random.default_rng(0).permutation(len(POOL))
    scores = domain_scorer(BASE, kernel, THETA, DOMAIN[::-1], how)
    found = scores([POOL[i] for i in order])
    assert np.abs(found - expected[order]).max() <= 1e-5 * np.abs(expected).max()


def test_same_call_same_bits():
    kernel = kernel_named("spectral_6")
    once = domain_scorer(BASE, kernel, THETA, DOMAIN, batching())(POOL)
    again = domain_scorer(BASE, kernel, THETA, DOMAIN, batching())(POOL)
    np.testing.assert_array_equal(once, again)


@pytest.mark.slow
def test_a_head_with_parameters_takes_the_long_way():
    lora = LoraSettings(rank=2, targets=("q_proj", "lm_head"))
    model, theta = random_model(SMALL, lora)
    readout = read_readout(model)
    base = readout_function(model, readout)
    kernel = named_kernel("summed", readout, 7)
    found = domain_scorer(base, kernel, theta, DOMAIN, batching())(POOL)
    expected = mean_of_gram(base, kernel, theta, DOMAIN, POOL)
    assert normwise(found, expected) < 1e-5


def broken_by(example):
    """The base function, NaN for the first token of `example`, and that token."""
    token = example.tokens[0]
    table = np.array(MODEL.frozen["model.embed_tokens.weight"])
    table[token] = np.nan
    frozen = MODEL.frozen | {"model.embed_tokens.weight": jnp.asarray(table)}
    model = dataclasses.replace(MODEL, frozen=frozen)
    return readout_function(model, READOUT), token


def test_a_domain_example_that_overflows_is_named():
    base, token = broken_by(DOMAIN[2])
    well = [example for example in DOMAIN if token not in example.tokens]
    assert well
    kernel = kernel_named("summed")
    message = "the gradient of example '2' is NaN or infinite"
    with pytest.raises(InputError, match=message):
        domain_direction(base, kernel, THETA, [*well, DOMAIN[2]], batching())


def test_a_candidate_that_overflows_is_named():
    base, token = broken_by(POOL[4])
    well = [e for e in DOMAIN if token not in e.tokens]
    assert well
    pool = [e for e in POOL if token not in e.tokens]
    scores = domain_scorer(base, kernel_named("summed"), THETA, well, batching())
    with pytest.raises(InputError, match="the score of example '4' is NaN or inf"):
        scores([*pool, POOL[4]])


def test_an_overflow_of_the_sum_alone_says_so():
    # each domain gradient is finite, the sum of five copies is not
    example = DOMAIN[0]
    gradient = domain_direction(
        BASE, kernel_named("summed"), THETA, [example], batching()
    )
    highest = max(float(jnp.abs(leaf).max()) for leaf in gradient.values())
    kernel = kernel_named("summed")
    factor = 2.5e38 / highest
    kernel = dataclasses.replace(kernel, probes=kernel.probes * factor)
    with pytest.raises(InputError, match=r"sum of the gradients .* is infinite"):
        domain_direction(BASE, kernel, THETA, [example] * 5, batching())


def test_an_empty_domain_is_refused():
    with pytest.raises(ValueError, match="no examples"):
        domain_direction(BASE, kernel_named("summed"), THETA, [], batching())
