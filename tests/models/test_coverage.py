import pytest

from ntkjax.models.coverage import Coverage, coverage
from ntkjax.models.lora import LAYER_MATRICES, LoraSettings
from tests.problems import random_model, tiny_config


TARGETS = {
    "all": LAYER_MATRICES,
    "two kinds": ("q_proj", "down_proj"),
    "one layer": (r"model\.layers\.1\..*",),
    "head": ("lm_head", "k_proj"),
}


@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.parametrize("rank", [1, 3])
def test_parameters_sum_to_p(name, rank):
    lora = LoraSettings(rank, targets=TARGETS[name])
    model, theta = random_model(tiny_config(num_layers=2, mlp_bias=True), lora)
    rows = coverage(model)
    assert sum(row.parameters for row in rows) == sum(a.size for a in theta.values())
    assert sum(row.adapted for row in rows) == len(theta) / 2
    assert sorted(row.kind for row in rows) == sorted([*LAYER_MATRICES, "lm_head"])


def test_rows_by_hand():
    lora = LoraSettings(3, targets=("q_proj", r".*\.0\.mlp\.down_proj"))
    rows = coverage(random_model(tiny_config(num_layers=2), lora)[0])
    assert {row.kind: row for row in rows} == {
        "q_proj": Coverage("q_proj", 2, 2, 2 * 3 * (12 + 16)),
        "k_proj": Coverage("k_proj", 2, 0, 0),
        "v_proj": Coverage("v_proj", 2, 0, 0),
        "o_proj": Coverage("o_proj", 2, 0, 0),
        "gate_proj": Coverage("gate_proj", 2, 0, 0),
        "up_proj": Coverage("up_proj", 2, 0, 0),
        "down_proj": Coverage("down_proj", 2, 1, 3 * (20 + 12)),
        "lm_head": Coverage("lm_head", 1, 0, 0),
    }


def test_a_tied_head_is_no_layer():
    rows = coverage(random_model(tiny_config(tie_embeddings=True))[0])
    assert {row.kind for row in rows} == set(LAYER_MATRICES)


@pytest.mark.parametrize("tied", [False, True])
def test_all_weights(tied):
    config = tiny_config(num_layers=2, mlp_bias=True, tie_embeddings=tied)
    model, theta = random_model(config, None)
    rows = {row.kind: row for row in coverage(model)}
    assert sum(row.parameters for row in rows.values()) == sum(
        leaf.size for leaf in theta.values()
    )
    assert list(rows) == [
        "embed_tokens",
        "input_layernorm",
        *LAYER_MATRICES[:4],
        "post_attention_layernorm",
        *LAYER_MATRICES[4:],
        "norm",
        *(() if tied else ("lm_head",)),
    ]
    assert rows["down_proj"] == Coverage("down_proj", 2, 2, 2 * (20 * 12 + 12))
    assert rows["input_layernorm"] == Coverage("input_layernorm", 2, 2, 2 * 12)
