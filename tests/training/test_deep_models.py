"""Trainings of a model so deep that programs get its adapter side by side."""

import jax
import numpy as np
import pytest

from ntkjax.devices.mesh import data_mesh
from ntkjax.models import stacking
from ntkjax.training.checkpoints import Checkpoints
from ntkjax.training.loop import train_adapter
from tests.problems import random_model, tiny_config
from tests.training.problem import EXAMPLES, MAX_LENGTH, settings


DEEP = random_model(tiny_config(num_layers=stacking.STACKED_FROM + 3))
CHANGES = {"steps": 4, "weight_decay": 0.1, "max_grad_norm": 0.5}


def train(**named):
    model, theta = DEEP
    rng = np.random.default_rng(0)
    mask = {name: rng.random(leaf.shape) < 0.7 for name, leaf in theta.items()}
    given = {"seed": 0, "max_length": MAX_LENGTH, "mesh": data_mesh(2), "mask": mask}
    return train_adapter(
        *(model.stacked(), theta, (EXAMPLES,), settings(**CHANGES)),
        **(given | {"validation": EXAMPLES[:2]} | named),
    )


@pytest.mark.slow
def test_the_adapter_is_that_of_a_training_layer_by_layer(monkeypatch):
    seen = []
    found = train(observe=lambda state: seen.append(set(state.theta)))
    assert all(any("*" in name for name in names) for names in seen)
    monkeypatch.setattr(stacking, "STACKED_FROM", 99)
    expected = train()
    assert found.theta.keys() == expected.theta.keys() == DEEP[1].keys()
    assert found.best_theta.keys() == DEEP[1].keys()
    for name, leaf in expected.theta.items():
        # Norms are summed in another order, and Adam divides by their like.
        np.testing.assert_allclose(found.theta[name], leaf, rtol=1e-4, atol=1e-6)
    losses = ([row["loss"] for row in each.history] for each in (found, expected))
    np.testing.assert_allclose(*losses, rtol=1e-5)


@pytest.mark.slow
def test_an_interrupted_training_goes_on_to_the_same_bits(tmp_path, monkeypatch):
    whole = train()
    saved = []
    save = Checkpoints.save
    keep = lambda store, found: saved.append(found) or save(store, found)
    monkeypatch.setattr(Checkpoints, "save", keep)

    def interrupt(row):
        if row["step"] == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(checkpoints=tmp_path, save_every=2, record=interrupt)
    assert saved[0].arrays["theta"].keys() == DEEP[1].keys()
    assert saved[0].arrays["mu"].keys() == DEEP[1].keys()
    again = train(checkpoints=tmp_path, save_every=2)
    jax.tree.map(np.testing.assert_array_equal, again.theta, whole.theta)
    jax.tree.map(np.testing.assert_array_equal, again.best_theta, whole.best_theta)
    assert again.history == whole.history
