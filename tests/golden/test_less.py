"""LESS against its formulas in torch (README.md beside this file)."""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file

from ntkjax.gradients.per_output import flatten
from ntkjax.selection.methods.less import (
    gradient_transform,
    group_directions,
    influence,
    learning_rate_weights,
)
from ntkjax.selection.options import LessOptions
from ntkjax.selection.problem import Snapshot
from ntkjax.selection.rows import unit_rows
from tests.oracles import normwise


GIVEN = load_file(pathlib.Path(__file__).parent / "less" / "expected.safetensors")
OPTIONS = {
    "inside": LessOptions(),
    "inside_corrected": LessOptions(bias_correction=True),
    "outside": LessOptions(epsilon_inside_root=False),
    "outside_corrected": LessOptions(epsilon_inside_root=False, bias_correction=True),
}
# torch computes in float64, this package in float32: measured 2e-7
FLOAT32 = 1e-5


def as_theta(vectors):
    """The last axis as two leaves; in tree order they are the vector again."""
    head, tail = vectors[..., :20], vectors[..., 20:]
    return {
        "a": jnp.asarray(head.reshape(*head.shape[:-1], 4, 5)),
        "b": jnp.asarray(tail),
    }


def snapshot(epoch):
    return Snapshot(
        theta=as_theta(np.zeros(50, np.float32)),
        first_moment=as_theta(GIVEN["first"][epoch]),
        second_moment=as_theta(GIVEN["second"][epoch]),
        num_steps=int(GIVEN["num_steps"][epoch]),
        learning_rate=float(GIVEN["learning_rates"][epoch]),
        identity=str(epoch),
    )


@pytest.mark.parametrize("name", OPTIONS)
def test_agrees_with_torch(name):
    terms = []
    groups = [np.flatnonzero(GIVEN["groups"] == g).tolist() for g in (0, 1)]
    for epoch in range(3):
        transform = gradient_transform(snapshot(epoch), OPTIONS[name])
        gradients = as_theta(GIVEN["gradients"][epoch])
        updates = np.asarray(jax.vmap(lambda g: flatten(transform(g)))(gradients))  # noqa: B023
        assert normwise(updates, GIVEN[f"updates/{name}"][epoch]) < FLOAT32
        units = unit_rows(updates @ GIVEN["signs"]).astype(np.float32)
        assert normwise(units, GIVEN[f"units/{name}"][epoch]) < FLOAT32
        targets = unit_rows(GIVEN["target_gradients"][epoch] @ GIVEN["signs"])
        targets = targets.astype(np.float32)
        terms.append(([units[:4], units[4:]], group_directions(targets, groups)))

    found = influence(terms, learning_rate_weights(GIVEN["learning_rates"].tolist()))
    assert normwise(found, GIVEN[f"influence/{name}"]) < FLOAT32
    assert normwise(found.max(axis=1), GIVEN[f"scores/{name}"]) < FLOAT32
