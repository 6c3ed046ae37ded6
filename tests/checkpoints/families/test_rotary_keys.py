"""Rotary settings in both spellings."""

import math
import pathlib

import pytest

from ntkjax.checkpoints.families.config_keys import Keys
from ntkjax.checkpoints.families.rotary_keys import read_rotary, read_two_rotaries
from ntkjax.errors import InputError
from ntkjax.models.config import LinearScaling, Llama3Scaling, Rotary, YarnScaling


LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 5e5,
    "factor": 8.0,
    "low_freq_factor": 1,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}
SCALED = Rotary(5e5, Llama3Scaling(8.0, 1.0, 4.0, 64))
YARN = {"rope_type": "yarn", "factor": 4}
AMPLITUDE = 0.1 * math.log(4) + 1


def keys(**raw) -> Keys:
    return Keys(pathlib.Path("config.json"), raw)


def read(**raw) -> Rotary:
    found = keys(**raw)
    rotary = read_rotary(found, max_positions=512, default_theta=1e4)
    found.done()
    return rotary


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ({}, Rotary(1e4)),
        ({"rope_parameters": {"rope_type": "default", "rope_theta": 7}}, Rotary(7.0)),
        ({"rope_theta": 7, "rope_scaling": None}, Rotary(7.0)),
        ({"rope_theta": 7, "rope_scaling": {"type": "default"}}, Rotary(7.0)),
        ({"rope_parameters": LLAMA3}, SCALED),
        ({"rope_theta": 5e5, "rope_scaling": LLAMA3}, SCALED),
        ({"rope_scaling": LLAMA3, "rope_parameters": LLAMA3}, SCALED),
        (
            {"rope_scaling": {"type": "linear", "factor": 2}},
            Rotary(1e4, LinearScaling(2.0)),
        ),
        ({"rope_scaling": {"type": "dynamic", "factor": 2}}, Rotary(1e4)),
        (
            {"rope_scaling": {**LLAMA3, "original_max_position_embeddings": None}},
            Rotary(5e5, Llama3Scaling(8.0, 1.0, 4.0, 512)),
        ),
    ],
)
def test_rotary_settings(raw, expected):
    assert read(**raw) == expected


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, YarnScaling(4.0, 32.0, 1.0, 512, AMPLITUDE, True)),
        ({"factor": 1}, YarnScaling(1.0, 32.0, 1.0, 512, 1.0, True)),
        (
            {"beta_fast": 8, "beta_slow": 2, "truncate": False},
            YarnScaling(4.0, 8.0, 2.0, 512, AMPLITUDE, False),
        ),
        (
            {"attention_factor": 1.5, "original_max_position_embeddings": 64},
            YarnScaling(4.0, 32.0, 1.0, 64, 1.5, True),
        ),
        (
            {"mscale": 0.5, "mscale_all_dim": 2.0},
            YarnScaling(
                *(4.0, 32.0, 1.0, 512),
                (0.05 * math.log(4) + 1) / (0.2 * math.log(4) + 1),
                True,
            ),
        ),
        ({"mscale": 0.5}, YarnScaling(4.0, 32.0, 1.0, 512, AMPLITUDE, True)),
    ],
)
def test_yarn(changes, expected):
    assert read(rope_parameters={**YARN, **changes}) == Rotary(1e4, expected)


FULL = {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e6}
LOCAL = {"rope_type": "default", "rope_theta": 2e4}


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ({}, (Rotary(3.0), Rotary(4.0))),
        (
            {"rope_theta": 1e6, "rope_local_base_freq": 2e4},
            (Rotary(1e6), Rotary(2e4)),
        ),
        (
            {
                "rope_parameters": {
                    "full_attention": FULL,
                    "sliding_attention": LOCAL,
                }
            },
            (Rotary(1e6, LinearScaling(8.0)), Rotary(2e4)),
        ),
        (
            {
                "rope_theta": 1e6,
                "rope_local_base_freq": 2e4,
                "rope_scaling": {"rope_type": "linear", "factor": 8.0},
            },
            (Rotary(1e6, LinearScaling(8.0)), Rotary(2e4)),
        ),
        (
            {"rope_parameters": {"full_attention": FULL, "sliding_attention": None}},
            (Rotary(1e6, LinearScaling(8.0)), Rotary(4.0)),
        ),
    ],
)
def test_two_rotaries(raw, expected):
    found = keys(**raw)
    assert read_two_rotaries(found, 512, (3.0, 4.0)) == expected
    found.done()


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ({"rope_scaling": {"rope_type": "longrope"}}, "'longrope' .*linear.*yarn"),
        ({"rope_parameters": {**LLAMA3, "attention_factor": 2}}, "attention_factor=2"),
        ({"rope_parameters": {**LLAMA3, "factor": None}}, "required key 'factor'"),
        ({"rope_parameters": {**LLAMA3, "factor": 0}}, "'factor' must be positive"),
        ({"rope_parameters": {**LLAMA3, "low_freq_factor": 4}}, "0 < low_freq_factor"),
        ({"rope_parameters": {**YARN, "beta_fast": 0.5}}, "beta_slow <= beta_fast"),
        ({"rope_parameters": {**YARN, "short_factor": [1]}}, "short_factor"),
        ({"rope_theta": 0}, "rope_theta must be positive"),
        (
            {"rope_parameters": {"partial_rotary_factor": 0.5}},
            "partial_rotary_factor=0.5 is not supported: whole heads",
        ),
        (
            {"rope_parameters": LLAMA3, "rope_theta": 1e4},
            "rope_theta.*10000.0.*500000.0",
        ),
        (
            {"rope_parameters": LLAMA3, "rope_scaling": {**LLAMA3, "factor": 32.0}},
            "rope_parameters and rope_scaling .*factor",
        ),
        (
            {"rope_parameters": {"full_attention": FULL}},
            "from layer to layer, .*gemma3_text alone",
        ),
    ],
)
def test_refused(raw, message):
    with pytest.raises(InputError, match=f"config.json: .*{message}"):
        read(**raw)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ({"rope_parameters": LLAMA3}, "full_attention and sliding_attention"),
        ({"rope_parameters": {"full_attention": 1}}, "must be dict, got 1"),
        (
            {
                "rope_parameters": {"full_attention": FULL},
                "rope_scaling": {"rope_type": "linear", "factor": 4.0},
            },
            "rope_parameters and rope_scaling differ in factor",
        ),
        (
            {"rope_scaling": {"type": "linear", "factor": 8.0}},
            'old key "type", .* write "rope_type"',
        ),
        (
            {"rope_theta": 3.0, "rope_parameters": {"full_attention": FULL}},
            "rope_theta is 3.0, but 1000000.0",
        ),
    ],
)
def test_two_rotaries_refused(raw, message):
    with pytest.raises(InputError, match=message):
        read_two_rotaries(keys(**raw), 512, (3.0, 4.0))
