import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkjax.data.examples import Example
from ntkjax.errors import InputError
from ntkjax.models.lora import LAYER_MATRICES, LoraSettings
from ntkjax.runs import progress
from ntkjax.runs.model import (
    LoraOptions,
    count,
    prepare,
    resolve_lora,
    tokenize_files,
)
from tests.commands.world import SMALL_ALPHABET, build_world


STORED = LoraSettings(2, 4.0, ("down_proj", "q_proj"))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (LoraOptions(), LoraSettings(8, 16.0, LAYER_MATRICES, False)),
        (LoraOptions(rank=3), LoraSettings(3, 16.0, LAYER_MATRICES, False)),
        (
            LoraOptions(alpha=2.0, targets=("q_proj",), rslora=True),
            LoraSettings(8, 2.0, ("q_proj",), True),
        ),
        (LoraOptions(rslora=False), LoraSettings()),
    ],
)
def test_flags_over_defaults(options, expected):
    assert resolve_lora(options, None) == expected


@pytest.mark.parametrize(
    "options",
    [
        LoraOptions(),
        LoraOptions(rank=2, alpha=4.0, targets=("q_proj", "down_proj"), rslora=False),
    ],
    ids=["no flags", "the same in another order"],
)
def test_the_adapters_file_decides(world, options):
    assert resolve_lora(options, world.write_adapter("a")) == STORED


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (LoraOptions(rank=4), r"lora\.rank is 4, but .* has 2"),
        (LoraOptions(alpha=16.0), r"lora\.alpha is 16\.0, but .* has 4\.0"),
        (LoraOptions(targets=("q_proj",)), r"lora\.targets is \('q_proj',\), but"),
        (LoraOptions(targets=()), r"lora\.targets is \(\), but"),
        (LoraOptions(rslora=True), r"lora\.rslora is True, but .* has False"),
    ],
)
def test_a_differing_flag_is_refused_by_name(world, options, says):
    folder = world.write_adapter("a")
    with pytest.raises(InputError, match=says) as caught:
        resolve_lora(options, folder)
    assert str(folder) in str(caught.value)


def example(prompt="ab", response="cd"):
    return Example("0", prompt, response, None, "file:1")


def test_tokens_of_the_plain_template(world):
    tokenized, size = tokenize_files(world.model, {"a": [example()]}, 24)
    (found,) = tokenized["a"]
    # <s> a b newline c d </s>; letters begin at 4, newline is the 28th piece
    assert found.tokens.tolist() == [1, 4, 5, 31, 6, 7, 2]
    assert found.targets.tolist() == [False] * 3 + [True] * 4
    assert size == 64


def test_a_smaller_tokenizer_leaves_rows_of_the_head_out(tmp_path):
    world = build_world(tmp_path, SMALL_ALPHABET)
    _, size = tokenize_files(world.model, {"a": [example()]}, 24)
    assert size == 32


def test_a_larger_tokenizer_counts_the_heads_rows(world):
    world.edit_config(vocab_size=60)
    _, size = tokenize_files(world.model, {"a": [example()]}, 24)
    assert size == 60


@pytest.mark.parametrize("max_length", [0, 65])
def test_max_length_within_the_positions(world, max_length):
    with pytest.raises(InputError, match=f"max_length {max_length}: expected 1 to 64"):
        tokenize_files(world.model, {"a": [example()]}, max_length)


def start(world, **changes):
    arguments = {"dtype": "float32", "seed": 0} | changes
    adapter = arguments.pop("adapter", None)
    return prepare(world.model, STORED, adapter, **arguments)


def test_a_long_load_is_shown(world, monkeypatch, capsys):
    monkeypatch.setattr(progress, "PATIENCE", 0.0)
    start(world)
    assert "loading the model: 1/1 MiB" in capsys.readouterr().err


def test_fresh_theta_depends_on_the_seed(world):
    first, again, other = (start(world, seed=seed).theta for seed in (0, 0, 1))
    assert count(first) == 2 * (32 + 32) + 2 * (32 + 48)
    for name, leaf in first.items():
        assert leaf.dtype == jnp.float32
        np.testing.assert_array_equal(leaf, again[name])
        if name.endswith("lora_B"):
            assert not leaf.any()
        else:
            assert not np.array_equal(leaf, other[name])


def test_dtype_is_that_of_the_frozen_weights_alone(world):
    prepared = start(world, dtype="bfloat16", adapter=world.write_adapter("a"))
    assert {leaf.dtype for leaf in prepared.model.frozen.values()} == {
        jnp.dtype(jnp.bfloat16)
    }
    assert {leaf.dtype for leaf in prepared.theta.values()} == {jnp.dtype(jnp.float32)}


def test_second_adapter(world):
    first = world.write_adapter("a")
    second = world.write_adapter("b", seed=1, target_modules=".*(q|down)_proj")
    assert start(world, adapter=first).second is None
    prepared = start(world, adapter=first, compare_adapter=second)
    assert prepared.second is not None
    assert prepared.second.keys() == prepared.theta.keys()
    differ = jax.tree.map(
        lambda a, b: bool((a != b).any()), prepared.theta, prepared.second
    )
    assert all(differ.values())


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"lora_alpha": 8}, r"its alpha is 8\.0, .* has 4\.0"),
        ({"r": 3}, r"its rank is 3, .* has 2"),
        ({"use_rslora": True}, "its rslora is True, .* has False"),
        ({"target_modules": ["q_proj"]}, r"its targets is \('q_proj',\), "),
    ],
)
def test_second_adapter_of_another_shape_or_scale(world, changes, says):
    second = world.write_adapter("b", **changes)
    with pytest.raises(InputError, match=says) as caught:
        start(world, adapter=world.write_adapter("a"), compare_adapter=second)
    assert str(caught.value).startswith(f"compare_adapter {second}: ")
