"""Frozen weights and activations of 16 bits, against float32 on the same weights.

What is compared differs by rounding alone. A type's ε is the spacing at 1; a hidden
state passes some twenty roundings in two layers, a gradient twice as many, and errors
add up like a random walk: measured are 2 to 6 ε, allowed are 12. A score is a product
of two gradients: 24.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from pyarrow import parquet

from ntkjax.commands.select.run import run_select
from ntkjax.data.batches import make_batch
from ntkjax.devices.precision import full_precision
from ntkjax.errors import InputError
from ntkjax.models.lora import LoraSettings
from ntkjax.outputs.loss import Loss
from ntkjax.runs.model import Prepared, prepare
from ntkjax.store.run_directory import read_json
from tests.checkpoints.files import GOLDEN
from tests.commands.select.problem import settings_of, write_problem
from tests.problems import random_examples, random_like


STORED = {"f16": "float16", "bf16": "bfloat16"}


def prepared(variant: str, dtype: str, lora: LoraSettings | None) -> Prepared:
    folder = GOLDEN / "llama" / variant
    return prepare(folder, lora, None, dtype=dtype, seed=0)


def outputs(found: Prepared) -> dict:
    """Logits, loss and its gradient on one text, at A and B that are not zero."""
    batch = make_batch(random_examples(3, vocab_size=64), "all")
    example = jax.tree.map(lambda leaf: leaf[0], batch)
    theta = found.theta
    if found.model.lora is not None:
        drawn = random_like(theta, jax.random.key(1))
        theta = jax.tree.map(lambda leaf: 0.1 * leaf, drawn)
    loss = lambda theta: Loss(found.model)(theta, example).sum()
    with full_precision():
        hidden = found.model.hidden(theta, example.tokens)
        value, gradient = jax.value_and_grad(loss)(theta)
        logits = found.model.logits(theta, hidden)
    return {"logits": logits, "loss": value, "gradient": gradient}


def flat(tree) -> np.ndarray:
    leaves = [np.ravel(np.asarray(leaf, np.float64)) for leaf in jax.tree.leaves(tree)]
    return np.concatenate(leaves)


def relative_error(found, expected) -> float:
    found, expected = flat(found), flat(expected)
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))


@pytest.mark.slow
@pytest.mark.parametrize("lora", [LoraSettings(4), None], ids=["lora", "full"])
@pytest.mark.parametrize("variant", STORED)
def test_outputs_and_gradients_agree_to_rounding(variant, lora):
    half = prepared(variant, "stored", lora)
    assert {leaf.dtype.name for leaf in half.model.frozen.values()} == {STORED[variant]}
    found, expected = outputs(half), outputs(prepared(variant, "float32", lora))
    assert found["logits"].dtype == STORED[variant]
    for leaf in jax.tree.leaves((found["loss"], found["gradient"], half.theta)):
        assert leaf.dtype == jnp.float32
    eps = float(jnp.finfo(STORED[variant]).eps)
    for name in expected:
        error = relative_error(found[name], expected[name])
        assert 0 < error < 12 * eps, name


@pytest.mark.slow
@pytest.mark.parametrize("dtype", STORED.values())
def test_a_selection_scores_as_in_float32(world, dtype):
    def cast(tensors):
        for name, array in tensors.items():
            tensors[name] = array.astype(jnp.dtype(dtype))

    world.edit_tensors(cast)
    write_problem(world)
    scores = {}
    for chosen in ("stored", "float32"):
        out = world.root / chosen
        settings = settings_of(world, dtype=chosen, out=out, shortlist="none")
        run_select(settings)
        manifest = read_json(out / "manifest.json")
        assert manifest["model"]["dtype"] == {"stored": dtype}.get(chosen, chosen)
        table = parquet.read_table(out / "scores.parquet")
        scores[chosen] = table["score"].to_numpy()
    error = relative_error(scores["stored"], scores["float32"])
    assert 0 < error < 24 * float(jnp.finfo(dtype).eps)


def test_weights_beyond_float16_are_refused(world):
    def enlarge(tensors):
        tensors["model.norm.weight"][3] = 7e4

    world.edit_tensors(enlarge)
    message = r"'model\.norm\.weight' has 1 numbers beyond the range of float16"
    with pytest.raises(InputError, match=message):
        prepare(world.model, LoraSettings(2), None, dtype="float16", seed=0)


def test_several_types_are_none(world):
    def cast(tensors):
        tensors["model.norm.weight"] = tensors["model.norm.weight"].astype(np.float16)

    world.edit_tensors(cast)
    with pytest.raises(InputError, match=r"dtype stored: .*float32 .* and float16"):
        prepare(world.model, LoraSettings(2), None, dtype="stored", seed=0)
