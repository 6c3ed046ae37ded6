"""What `train.json` says, from a training made up. Whole runs: test_train.py."""

import dataclasses
from pathlib import Path

import jax.numpy as jnp
import numpy as np

from ntkjax.commands.train.inputs import Texts
from ntkjax.commands.train.result import Measured, training_result
from ntkjax.commands.train.settings import TrainSettings
from ntkjax.devices.mesh import data_mesh
from ntkjax.runs.model import Prepared
from ntkjax.training.loop import TrainedAdapter
from ntkjax.training.result import (
    LossEnds,
    MaskUse,
    RetentionLosses,
    TrainingResult,
    ValidationLosses,
)
from tests.problems import random_examples, random_model, tiny_config


CONFIG = tiny_config(num_layers=1)
MODEL, THETA = random_model(CONFIG)
SETTINGS = TrainSettings("m", (Path("a"), Path("b")), Path("out"))
EXAMPLES = random_examples(9)


def trained(validation=()) -> TrainedAdapter:
    losses = dict(validation)
    history = [
        {
            "step": step,
            "loss": 1 / step,
            "tokens": 10 * step,
            "validation_loss": losses.get(step),
        }
        for step in range(1, 21)
    ]
    best = min(losses, key=losses.get, default=20)
    return TrainedAdapter(THETA, THETA, best, history)


def result(
    found, settings=SETTINGS, mask=None, losses=(None, None, None)
) -> TrainingResult:
    cut = dataclasses.replace(EXAMPLES[0], was_cut=True)
    texts = Texts([[cut, *EXAMPLES[1:4]], EXAMPLES[4:6]], EXAMPLES[6:8], EXAMPLES[8:])
    prepared = Prepared(MODEL, THETA, data_mesh())
    measured = Measured(*losses)
    seconds = {"training": 1.0}
    return training_result(settings, prepared, texts, mask, found, measured, seconds)


def test_amounts_and_ends():
    found = result(trained())
    assert found.num_examples == {"a": 4, "b": 2}
    assert (found.num_validation, found.num_retention) == (2, 1)
    assert found.num_cut == {"a": 1, "b": 0, "validation": 0, "retention": 0}
    assert (found.num_steps, found.num_tokens) == (20, 200)
    assert found.loss == LossEnds((1 + 1 / 2) / 2, (1 / 19 + 1 / 20) / 2)
    assert found.num_parameters == sum(leaf.size for leaf in THETA.values())
    assert found.validation_loss is found.retention_loss is found.mask is None
    assert found.kept_step == 20


def test_losses():
    """A loss of 0 is one, and the first of equal ones is not the last."""
    found = result(trained({5: 2.0, 10: 0.0, 20: 3.0}), losses=(4.0, 1.5, 2.5))
    losses = ValidationLosses(before=4.0, first=2.0, best=0.0, last=3.0)
    assert found.validation_loss == losses
    assert found.retention_loss == RetentionLosses(before=1.5, after=2.5)
    assert found.kept_step == 10
    last = dataclasses.replace(SETTINGS, keep="last")
    assert result(trained({5: 2.0}), last).kept_step == 20


def test_mask():
    mask = {name: np.zeros(leaf.shape, bool) for name, leaf in THETA.items()}
    next(iter(mask.values()))[0, :3] = True
    settings = dataclasses.replace(SETTINGS, mask=Path("mask"))
    size = sum(jnp.size(leaf) for leaf in THETA.values())
    expected = MaskUse(file="mask", kept=3, of=size)
    assert result(trained(), settings, mask).mask == expected
