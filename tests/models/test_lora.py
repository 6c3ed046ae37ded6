import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from ntkjax.errors import InputError
from ntkjax.models.language_model import split_model
from ntkjax.models.lora import (
    LAYER_MATRICES,
    LoraSettings,
    check_lora,
    initial_theta,
    matched_modules,
)
from tests.problems import random_model, tiny_config


NAMES = [
    f"model.layers.{i}.{part}_proj"
    for i in range(12)
    for part in ("self_attn.q", "self_attn.k", "mlp.up", "mlp.down")
] + ["lm_head"]


@jax.jit
def logits(model, theta, tokens):
    return model.logits(theta, model.hidden(theta, tokens))


def test_defaults_are_the_documented_ones():
    settings = LoraSettings()
    assert (settings.rank, settings.alpha, settings.rslora) == (8, 16.0, False)
    assert settings.targets == LAYER_MATRICES


def test_start():
    shapes = {"wide.lora_A": (40, 400), "narrow.lora_A": (400, 4), "b.lora_B": (9, 4)}
    theta = initial_theta(shapes, jax.random.key(0))
    assert {name: leaf.shape for name, leaf in theta.items()} == shapes
    assert {leaf.dtype for leaf in theta.values()} == {np.dtype(np.float32)}
    assert not theta["b.lora_B"].any()
    for name, bound in (("wide.lora_A", 0.05), ("narrow.lora_A", 0.5)):
        drawn = np.asarray(theta[name]).ravel()
        assert np.abs(drawn).max() <= bound
        # Kolmogorov and Smirnov against the uniform law: a fixed key, so no flakes.
        law = scipy.stats.uniform(-bound, 2 * bound)
        assert scipy.stats.kstest(drawn, law.cdf).pvalue > 0.01


def test_each_a_has_its_own_numbers():
    shapes = {f"model.layers.{i}.q_proj.lora_A": (2, 12) for i in range(20)}
    drawn = initial_theta(shapes, jax.random.key(0))
    rows = {leaf.tobytes() for leaf in map(np.asarray, drawn.values())}
    assert len(rows) == 20
    other = initial_theta(shapes, jax.random.key(1))
    assert all((drawn[name] != other[name]).all() for name in shapes)


def test_a_does_not_depend_on_the_other_targets():
    starts = []
    for targets in (("q_proj",), ("down_proj", "q_proj"), LAYER_MATRICES):
        model, _ = random_model(
            tiny_config(num_layers=2), LoraSettings(2, targets=targets)
        )
        starts.append(initial_theta(model.theta_shapes, jax.random.key(5)))
    assert len(starts[0]) == 4
    for more in starts[1:]:
        for name, leaf in starts[0].items():
            assert (more[name] == leaf).all(), name


def test_the_start_does_not_change_the_model():
    config = tiny_config()
    model, other = random_model(config)
    theta = initial_theta(model.theta_shapes, jax.random.key(0))
    without = {name: jnp.zeros(shape) for name, shape in model.theta_shapes.items()}
    tokens = jnp.arange(6, dtype=jnp.int32)
    run = jax.jit(lambda theta: model.logits(theta, model.hidden(theta, tokens)))
    assert (run(theta) == run(without)).all()
    assert not jnp.allclose(run(other), run(without), atol=1e-3)


@pytest.mark.parametrize(
    ("target", "rank", "alpha", "rslora"),
    [
        *[(target, 3, 2.0, True) for target in (*LAYER_MATRICES, "lm_head")],
        (".*", 2, 3.0, False),
        (".*", 1, 0.5, False),
    ],
)
def test_update_is_scale_times_b_a(target, rank, alpha, rslora):
    """The adapted model is the plain model with W + s·B A in place of W."""
    scale = alpha / np.sqrt(rank) if rslora else alpha / rank
    settings = LoraSettings(rank, alpha, (target,), rslora)
    model, theta = random_model(tiny_config(num_layers=1), settings)
    merged = dict(model.frozen)
    for name in theta:
        if name.endswith("lora_A"):
            module = name.removesuffix(".lora_A")
            weight = np.asarray(model.frozen[f"{module}.weight"], np.float64)
            a, b = (np.asarray(theta[f"{module}.lora_{x}"], np.float64) for x in "AB")
            merged[f"{module}.weight"] = jnp.asarray(weight + scale * b @ a, np.float32)
    zero = jax.tree.map(jnp.zeros_like, theta)
    tokens = jnp.arange(6, dtype=jnp.int32)
    found = logits(model, theta, tokens)
    expected = logits(dataclasses.replace(model, frozen=merged), zero, tokens)
    # Two float32 orders of the same products, through two layers.
    assert jnp.abs(found - expected).max() < 1e-5 * jnp.abs(expected).max()


@pytest.mark.parametrize(
    ("targets", "expected"),
    [
        (("q_proj",), [n for n in NAMES if n.endswith("q_proj")]),
        (("lm_head",), ["lm_head"]),
        (("mlp.up_proj",), [n for n in NAMES if n.endswith("up_proj")]),
        (("1.mlp.up_proj",), ["model.layers.1.mlp.up_proj"]),
        (("model.layers.1.mlp.up_proj",), ["model.layers.1.mlp.up_proj"]),
        ((r".*\.(up|down)_proj",), [n for n in NAMES if ".mlp." in n]),
        ((r".*layers\.1\d\..*",), [n for n in NAMES if ".10." in n or ".11." in n]),
        ((".*",), NAMES),
        # in the order of the model, each once, whatever the order of the targets
        (
            ("lm_head", "up_proj", r".*\.mlp\..*"),
            [n for n in NAMES if ".self_attn." not in n],
        ),
    ],
)
def test_targets(targets, expected):
    assert matched_modules(NAMES, targets) == expected


@pytest.mark.parametrize(
    "target", ["proj", "_proj", "Q_PROJ", "query", r"mlp\..*", "model.layers.1", ""]
)
def test_a_target_without_match_lists_what_exists(target):
    message = f"{target!r} matches no linear layer.* down_proj, k_proj, lm_head, q_proj"
    with pytest.raises(InputError, match=message.replace("\\", r"\\")):
        matched_modules(NAMES, ("q_proj", target))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rank": 0}, "lora.rank 0: expected at least 1"),
        ({"rank": -1}, "lora.rank -1: expected at least 1"),
        ({"alpha": 0.0}, "lora.alpha 0.0: expected a number above"),
        ({"alpha": -1.0}, "lora.alpha -1.0: expected a number above"),
        ({"alpha": float("nan")}, "lora.alpha nan: expected a number above"),
        ({"alpha": float("inf")}, "lora.alpha inf: expected a number above"),
        ({"targets": ()}, "lora.targets: expected at least one"),
        ({"targets": ("v_proj", "*.mlp")}, r"targets: '\*\.mlp' is no regular expres"),
    ],
)
def test_refused_settings(changes, message):
    with pytest.raises(InputError, match=message):
        check_lora(LoraSettings(**changes))
    with pytest.raises(InputError, match=message):
        split_model(tiny_config(), LoraSettings(**changes))


def test_order_and_names_of_theta():
    targets = ("down_proj", "lm_head", "q_proj")
    model, _ = random_model(
        tiny_config(num_layers=11), LoraSettings(3, targets=targets)
    )
    modules = [
        f"model.layers.{i}.{part}"
        for i in range(11)
        for part in ("self_attn.q_proj", "mlp.down_proj")
    ] + ["lm_head"]
    names = [f"{module}.lora_{x}" for module in modules for x in "AB"]
    assert list(model.theta_shapes) == names
    assert model.theta_shapes[names[0]] == (3, 12)
    assert model.theta_shapes["model.layers.0.mlp.down_proj.lora_B"] == (12, 3)
