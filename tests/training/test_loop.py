"""Whole trainings of a tiny decoder: the same bits, whatever interrupts them."""

import dataclasses
import itertools

import jax
import numpy as np
import pytest

from ntkjax.devices.mesh import data_mesh
from ntkjax.errors import InputError
from ntkjax.training import programs
from ntkjax.training.loop import train_adapter
from ntkjax.training.plan import Plan
from tests.problems import random_model, tiny_config
from tests.training.problem import (
    EXAMPLES,
    MAX_LENGTH,
    mean_loss,
    settings,
    small_model,
)


def train(model_seed=0, sources=(EXAMPLES,), devices=2, changes=None, **named):
    model, theta = small_model(model_seed)
    given = {"seed": 0, "max_length": MAX_LENGTH, "mesh": data_mesh(devices)}
    return train_adapter(
        model, theta, sources, settings(**(changes or {})), **(given | named)
    )


def assert_same(first, second):
    for name in ("theta", "best_theta"):
        one, other = getattr(first, name), getattr(second, name)
        jax.tree.map(np.testing.assert_array_equal, one, other)
    assert first.best_step == second.best_step
    assert first.history == second.history


class Interruption(Exception):
    pass


def interrupt_at(step: int):
    def record(row):
        if row["step"] == step:
            raise Interruption

    return record


@pytest.mark.slow
def test_loss_falls_and_the_history_says_what_happened():
    steps, rows = [], []
    changes = {"steps": 60, "learning_rate": 3e-2}
    found = train(changes=changes, advance=steps.append, record=rows.append)
    model, theta = small_model()
    before, after = (float(mean_loss(model, t, EXAMPLES)) for t in (theta, found.theta))
    assert after < 0.9 * before
    assert found.best_step == 60
    assert rows == found.history
    assert sum(steps) == 60
    assert [row["step"] for row in rows] == list(range(1, 61))
    plan = Plan([EXAMPLES], settings(**changes), 0)
    first = plan.step(0)
    assert rows[0]["loss"] == pytest.approx(float(mean_loss(model, theta, first)))
    tokens = [sum(len(e.tokens) for e in plan.step(step)) for step in range(60)]
    assert [row["tokens"] for row in rows] == np.cumsum(tokens).tolist()
    assert all(row["validation_loss"] is None for row in rows)


@pytest.mark.slow
def test_the_same_bits_again_and_other_ones_with_another_seed():
    first = train()
    assert_same(first, train())
    other = train(seed=1)
    assert first.history[0]["loss"] != other.history[0]["loss"]


@pytest.mark.slow
def test_accumulation_and_devices_agree():
    """Five steps of Adam, which magnifies rounding: 1e-4 of θ's own size."""
    whole = train(devices=1)
    for named in (
        {"devices": 2},
        {"devices": 2, "changes": {"micro_batch": 2}},
    ):
        split = train(**named)
        losses = [[row["loss"] for row in r.history] for r in (whole, split)]
        np.testing.assert_allclose(*losses, rtol=1e-5)
        for name, leaf in whole.theta.items():
            np.testing.assert_allclose(split.theta[name], leaf, atol=1e-4)


@pytest.mark.slow
def test_best_is_the_lowest_validation_loss_and_last_the_last():
    """So large a rate that the loss soon rises again."""
    changes = {"steps": 8, "learning_rate": 0.05, "schedule": "constant"}
    named = {"validation": EXAMPLES[8:], "validate_every": 3}
    found = train(sources=(EXAMPLES[:8],), changes=changes, **named)
    losses = {row["step"]: row["validation_loss"] for row in found.history}
    computed = {step: loss for step, loss in losses.items() if loss is not None}
    assert list(computed) == [3, 6, 8]
    assert found.best_step == min(computed, key=computed.get) != 8
    model, _ = small_model()
    for theta, step in ((found.best_theta, found.best_step), (found.theta, 8)):
        expected = float(mean_loss(model, theta, EXAMPLES[8:]))
        assert computed[step] == pytest.approx(expected, rel=1e-5)


def test_validation_once_per_epoch_by_default():
    found = train(validation=EXAMPLES[:3], changes={"steps": 7})
    with_loss = [r["step"] for r in found.history if r["validation_loss"] is not None]
    assert with_loss == [3, 6, 7]


def test_mixed_sources_are_drawn_by_their_weights():
    alone = train(sources=(EXAMPLES[:5], EXAMPLES[5:]), mix=(1.0, 0.0))
    tokens = {len(e.tokens) for e in EXAMPLES[:5]}
    lengths = np.diff([0, *(row["tokens"] for row in alone.history)])
    possible = {sum(c) for c in itertools.product(tokens, repeat=4)}
    assert set(lengths.tolist()) <= possible
    mixed = train(sources=(EXAMPLES[:5], EXAMPLES[5:]), mix=(1.0, 1.0))
    assert mixed.history != alone.history


@pytest.mark.parametrize("when", [1, 5, 7, 8])
def test_resumed_is_undisturbed(tmp_path, monkeypatch, when):
    """Interrupted before the first checkpoint, between two, and at the last step."""
    monkeypatch.setattr("ntkjax.training.checkpoints._SHARE", 0)
    changes = {"steps": 8, "learning_rate": 0.1}
    named = {"validation": EXAMPLES[8:], "validate_every": 2, "changes": changes}
    expected = train(**named)
    saving = {"checkpoints": tmp_path / "checkpoints", "save_every": 3}
    with pytest.raises(Interruption):
        train(**named, **saving, record=interrupt_at(when))
    rows, steps = [], []
    found = train(**named, **saving, record=rows.append, advance=steps.append)
    assert_same(found, expected)
    assert rows == expected.history
    assert steps[0] == (when - 1) // 3 * 3
    assert_same(train(**named, **saving), expected)  # finished: nothing to do


def test_checkpoints_of_another_training_are_refused(tmp_path):
    train(checkpoints=tmp_path)
    for other in (
        {"seed": 1},
        {"changes": {"learning_rate": 0.5}},
        {"model_seed": 1},
        {"sources": (EXAMPLES[:9],)},
        {"validation": EXAMPLES[:2]},
        {"sources": (EXAMPLES[:4], EXAMPLES[4:]), "mix": (1.0, 1.0)},
    ):
        with pytest.raises(InputError, match="checkpoints of another training"):
            train(checkpoints=tmp_path, **other)


@pytest.mark.slow
def test_another_training_is_not_compiled_again(monkeypatch):
    """Other weights, data, rate, schedule and number of steps: the same program."""
    traced = []

    def counting(*arguments):
        traced.append(1)
        return plain(*arguments)

    plain = programs.loss_sums
    monkeypatch.setattr(programs, "loss_sums", counting)
    own = {"beta1": 0.87}  # no other test has this program
    train(changes=own)
    assert traced
    traced.clear()
    others = {"learning_rate": 0.3, "steps": 3, "schedule": "linear"}
    train(model_seed=1, sources=(EXAMPLES[:7],), seed=5, changes=own | others)
    assert not traced


def test_a_loss_that_is_not_finite_stops_with_names(tmp_path):
    model, theta = small_model()
    embedding = "model.embed_tokens.weight"
    model.frozen[embedding] = (
        model.frozen[embedding].at[EXAMPLES[2].tokens[0]].set(np.nan)
    )
    bad = {e.id for e in EXAMPLES if EXAMPLES[2].tokens[0] in e.tokens}
    with pytest.raises(InputError, match=r"step \d: the loss of example") as caught:
        train_adapter(
            model,
            theta,
            [EXAMPLES],
            settings(steps=3),
            seed=0,
            max_length=MAX_LENGTH,
            mesh=data_mesh(),
        )
    message = str(caught.value)
    assert set(message.split("'")[1::2]) <= bad
    assert "training.learning_rate" in message
    assert "\n" not in message


def test_a_rate_that_is_too_high_stops_and_leaves_checkpoints(tmp_path, monkeypatch):
    monkeypatch.setattr("ntkjax.training.checkpoints._SHARE", 0)
    changes = {"learning_rate": 1e19, "warmup_share": 0.0, "steps": 20}
    named = {"changes": changes, "checkpoints": tmp_path, "save_every": 1}
    with pytest.raises(InputError, match="NaN or infinite"):
        train(**named)
    assert any(path.name.isdigit() for path in tmp_path.iterdir())


def test_targets_are_needed():
    bad = dataclasses.replace(
        EXAMPLES[0], targets=np.zeros(len(EXAMPLES[0].tokens), bool)
    )
    for named in ({"sources": ([bad],)}, {"validation": [bad]}):
        with pytest.raises(InputError, match="no token to predict"):
            train(**named)


MASKED = {"weight_decay": 0.1, "max_grad_norm": 0.05, "learning_rate": 3e-2}


def random_mask(seed: int = 0, share: float = 0.4) -> dict:
    rng = np.random.default_rng(seed)
    _, theta = small_model()
    return {name: rng.random(leaf.shape) < share for name, leaf in theta.items()}


@pytest.mark.slow
def test_masked_coordinates_keep_their_bits_and_all_others_move():
    _, theta = small_model()
    mask = random_mask()
    found = train(changes=MASKED, mask=mask)
    assert found.history[0]["gradient_norm"] > MASKED["max_grad_norm"]
    for name, leaf in theta.items():
        before, after = (
            np.asarray(a).view(np.int32) for a in (leaf, found.theta[name])
        )
        assert ((before == after) == ~mask[name]).all(), name


@pytest.mark.slow
def test_a_mask_of_all_ones_changes_nothing():
    """The program has selects in it and is fused otherwise: a bit of rounding in the
    first step, which Adam magnifies in the next ones."""
    everything = random_mask(share=2)
    for steps, tolerance in ((1, 1e-7), (5, 1e-4)):
        changes = MASKED | {"steps": steps}
        found, expected = (
            train(changes=changes, mask=everything),
            train(changes=changes),
        )
        for name, leaf in expected.theta.items():
            np.testing.assert_allclose(
                found.theta[name], leaf, rtol=tolerance, atol=tolerance
            )


@pytest.mark.slow
def test_a_masked_training_resumed_is_undisturbed(tmp_path, monkeypatch):
    monkeypatch.setattr("ntkjax.training.checkpoints._SHARE", 0)
    named = {"changes": MASKED | {"steps": 8}, "mask": random_mask()}
    expected = train(**named)
    saving = {"checkpoints": tmp_path / "checkpoints", "save_every": 3}
    with pytest.raises(Interruption):
        train(**named, **saving, record=interrupt_at(5))
    assert_same(train(**named, **saving), expected)
    for other in ({"mask": random_mask(seed=1)}, {"mask": None}):
        with pytest.raises(InputError, match="checkpoints of another training"):
            train(**(named | other), **saving)


@pytest.mark.slow
def test_another_mask_is_not_compiled_again(monkeypatch):
    own = {"beta1": 0.86}  # no other test has this program
    train(changes=own, mask=random_mask())

    def traced(*arguments):
        raise AssertionError("compiled again")

    monkeypatch.setattr(programs, "loss_sums", traced)
    train(changes=own, mask=random_mask(seed=1))


def test_a_mask_of_another_theta_is_refused():
    mask = random_mask()
    name = next(iter(mask))
    for bad in ({**mask, name: mask[name].T}, {**mask, "other": mask[name]}, {}):
        with pytest.raises(ValueError, match="names and shapes"):
            train(mask=bad)


def test_states_are_observed_after_each_step_and_before_saving(tmp_path, monkeypatch):
    monkeypatch.setattr("ntkjax.training.checkpoints._SHARE", 0)
    folder, states, saved = tmp_path / "checkpoints", [], []

    def observe(state):
        states.append(state)
        saved.append({path.name for path in folder.iterdir() if path.name.isdigit()})
        if len(states) == 6:
            raise Interruption

    named = {"validation": EXAMPLES[8:], "validate_every": 2, "changes": {"steps": 8}}
    saving = {"checkpoints": folder, "save_every": 3}
    with pytest.raises(Interruption):
        train(**named, **saving, observe=observe)
    assert saved[2:4] == [set(), {"3"}]
    found = train(**named, **saving, observe=observe)
    assert [state.step for state in states] == [1, 2, 3, 4, 5, 6, 4, 5, 6, 7, 8]
    assert [state.history for state in states[-1:]] == [found.history]
    jax.tree.map(np.testing.assert_array_equal, states[-1].theta, found.theta)
    jax.tree.map(np.testing.assert_array_equal, states[3].moments, states[6].moments)
    assert states[1].history[-1]["validation_loss"] is not None
    assert Plan([EXAMPLES], settings(), 0).steps_per_epoch == 3


@pytest.mark.slow
def test_all_weights_train_and_a_mask_holds_for_them():
    model, theta = random_model(tiny_config(num_layers=1, tie_embeddings=True), None)
    rng = np.random.default_rng(0)
    mask = {name: rng.random(leaf.shape) < 0.5 for name, leaf in theta.items()}
    changes = settings(steps=30, **MASKED)
    named = {"seed": 0, "max_length": MAX_LENGTH, "mesh": data_mesh(2)}
    found = train_adapter(model, theta, [EXAMPLES], changes, mask=mask, **named)
    before, after = (float(mean_loss(model, t, EXAMPLES)) for t in (theta, found.theta))
    assert after < 0.9 * before
    for name, leaf in theta.items():
        kept = np.asarray(leaf)[~mask[name]]
        np.testing.assert_array_equal(np.asarray(found.theta[name])[~mask[name]], kept)


@pytest.mark.slow
def test_a_training_goes_on_with_another_micro_batch(tmp_path, monkeypatch):
    """As a run does that was short of memory: rounding apart, the same training."""
    monkeypatch.setattr("ntkjax.training.checkpoints._SHARE", 0)
    saving = {"checkpoints": tmp_path, "save_every": 2}
    with pytest.raises(Interruption):
        train(**saving, record=interrupt_at(4))
    steps = []
    found = train(**saving, changes={"micro_batch": 2}, advance=steps.append)
    assert steps[0] == 2
    for name, leaf in train().theta.items():
        np.testing.assert_allclose(found.theta[name], leaf, atol=1e-4)
