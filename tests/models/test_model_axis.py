"""Weights cut over the axis `model`: the same numbers, no weight put together."""

import re
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding

from ntkjax.data.batches import make_batch
from ntkjax.devices.mesh import MODEL_AXIS, MeshShape, make_mesh, replicate
from ntkjax.devices.programs import ROWS, WHOLE, on_mesh, over_groups
from ntkjax.evaluation.generation import generate
from ntkjax.fidelity.measure import channel_grams
from ntkjax.gradients.directional import directional, sum_gradients
from ntkjax.gradients.features import features
from ntkjax.math.sketches import shift_sketch
from ntkjax.models.config import LayerKind, Rotary
from ntkjax.models.partitions import weight_partitions
from ntkjax.outputs.loss import Loss
from ntkjax.outputs.pooled import PooledHidden, PooledLogits, Probed
from ntkjax.training.programs import AdamW, step_program
from ntkjax.training.rows import Layout, fill_rows
from tests.problems import random_examples, random_like, random_model, tiny_config


WINDOW = LayerKind(Rotary(100.0, None), window=4)
MODELS = {
    "llama": tiny_config(num_layers=1, hidden_size=16, norm_eps=1e-2),
    "qwen": tiny_config(
        num_layers=1,
        hidden_size=16,
        norm_eps=1e-2,
        qkv_bias=True,
        qk_norm=True,
        mlp_bias=True,
    ),
    "gemma": tiny_config(
        hidden_size=16,
        norm_eps=1e-2,
        layers=(WINDOW, LayerKind(Rotary(100.0, None))),
        tie_embeddings=True,
        final_softcap=3.0,
        attention_softcap=5.0,
        unit_offset=True,
        post_norms=True,
        embedding_scale=4.0,
    ),
}
# Sums over two devices round otherwise. Soft-caps and a scaled embedding make a random
# model amplify that: on one device, too, its gradients are 3e-5 from those in float64.
TOLERANCES = {"llama": 1e-5, "gemma": 1e-4}
ONE = make_mesh(MeshShape(1, 1), jax.devices()[:1])
CUT = make_mesh(MeshShape(1, 2), jax.devices())
EXAMPLES = random_examples(6)


def cut_over(mesh, model):
    shapes = {name: leaf.shape for name, leaf in model.frozen.items()}
    specs = weight_partitions(model.config, shapes, mesh)
    frozen = {
        name: jax.device_put(leaf, NamedSharding(mesh, specs[name]))
        for name, leaf in model.frozen.items()
    }
    return replace(model, frozen=frozen)


def batch_of(examples):
    return make_batch(examples, pooling="all", length=16)


def verbs(fixed, batch):
    """What methods compute with a model: embeddings, derivatives, sketches."""
    model, theta, along, probes, sketches = fixed
    hidden, loss = PooledHidden(model), Loss(model)
    f = Probed(hidden, probes)
    size = len(batch.tokens)
    gradient = sum_gradients(f, batch_size=size)(theta, batch, jnp.ones(size))
    return {
        "embeddings": jax.vmap(lambda x: hidden(theta, x))(batch),
        "logits": jax.vmap(lambda x: PooledLogits(model, 40)(theta, x))(batch),
        "directional": directional(f, batch_size=size)(theta, batch, along),
        "gradient": jax.tree.map(lambda leaf: leaf[None], gradient),
        "sketches": [features(loss, sketch)(theta, batch) for sketch in sketches],
    }


def results(name, mesh):
    """What every command computes with a model, by name."""
    model, theta = random_model(MODELS[name])
    model = cut_over(mesh, model)
    probes = np.random.default_rng(0).normal(size=(16, 2)).astype(np.float32)
    along = random_like(theta, jax.random.key(3), (2,))
    num_parameters = sum(leaf.size for leaf in theta.values())
    key = jax.random.key(1)
    sketches = (shift_sketch(num_parameters, 64, key),)
    fixed = (model, theta, along, jnp.asarray(probes), sketches)
    found = on_mesh(verbs, mesh, (WHOLE, ROWS), ROWS)(fixed, batch_of(EXAMPLES))

    rows = fill_rows(EXAMPLES, Layout(2, 3, 1), 16)
    adam = AdamW(0.9, 0.999, 0.01, 1.0)
    state = replicate((theta, adam.start(theta)), mesh)
    after, _, norm, losses = step_program(mesh, adam)(
        model, *state, rows, np.float32(0.1), np.float32(20), None
    )
    step = jax.tree.map(lambda new, old: np.asarray(new) - old, after, theta)
    found |= {"norm": norm, "losses": losses, "step": step}
    if name == "llama":  # both take long to compile
        sides = batch_of(EXAMPLES[:2]), batch_of(EXAMPLES[2:])
        grams = channel_grams(PooledHidden(model), theta, *sides, probes, mesh=mesh)
        written = generate(
            *(model, theta, EXAMPLES),
            **{"max_length": 16, "max_new_tokens": 5, "stop_ids": (7,)},
            vocab_size=40,
            mesh=mesh,
        )
        answers = np.concatenate([np.append(tokens, -1) for tokens in written])
        found |= {"kernel": grams.cross, "answers": answers}
    return found


@pytest.mark.slow
@pytest.mark.parametrize("name", TOLERANCES)
def test_numbers_are_those_of_one_device(name):
    expected, found = results(name, ONE), results(name, CUT)
    for what, tree in expected.items():
        pairs = zip(jax.tree.leaves(found[what]), jax.tree.leaves(tree), strict=True)
        for now, before in pairs:
            now, before = np.asarray(now), np.asarray(before)
            bound = TOLERANCES[name] * np.abs(before).max()
            np.testing.assert_allclose(now, before, rtol=0, atol=bound, err_msg=what)


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_no_device_puts_a_weight_together(name):
    """Only activations and sums of them travel between the devices of a group."""
    model, theta = random_model(MODELS[name])
    model = cut_over(CUT, model)
    theta = replicate(theta, CUT)
    shapes = {leaf.shape for leaf in model.frozen.values() if leaf.ndim == 2}

    def value(frozen, theta, batch):
        loss = Loss(replace(model, frozen=frozen))
        return jax.vmap(jax.value_and_grad(lambda t, x: loss(t, x)), (None, 0))(
            theta, batch
        )

    program = jax.jit(over_groups(value, CUT, (WHOLE, WHOLE, ROWS), ROWS))
    text = program.lower(model.frozen, theta, batch_of(EXAMPLES)).compile().as_text()
    gathered = re.findall(r"= \w+\[([\d,]*)\]\S* (?:all-gather|all-to-all)", text)
    sizes = {tuple(map(int, shape.split(","))) for shape in gathered if shape}
    assert "all-reduce" in text
    turned = {shape[::-1] for shape in shapes}
    assert not sizes & (shapes | turned), sizes
    assert MODEL_AXIS in str(model.frozen["model.embed_tokens.weight"].sharding)
