import pathlib

import pytest

from ntkjax.checkpoints.embedded import EMBEDDED_MODEL
from ntkjax.checkpoints.families.table import read_config
from ntkjax.checkpoints.loading import load_model
from ntkjax.commands.plan.costs.model_cost import ModelCost
from ntkjax.errors import InputError
from ntkjax.models.lora import LoraSettings
from tests.commands.plan.problem import LORA
from tests.problems import tiny_config


ROOT = pathlib.Path(__file__).parents[4]


def cost_of(folder: pathlib.Path, lora=LORA) -> ModelCost:
    return ModelCost(read_config(folder).decoder, lora, "float32")


def test_llama_3_8b():
    cost = cost_of(ROOT / "examples" / "configs" / "llama-3-8b", LoraSettings())
    assert cost.num_weights == 8_030_261_248
    # rank · (in + out) of q, k, v, o, gate, up and down, in 32 layers
    sides = 2 * 8192 + 2 * (4096 + 1024) + 3 * (4096 + 14336)
    assert cost.num_theta == 32 * 8 * sides


@pytest.mark.parametrize("name", ["embedded", "stories260k", "base4m"])
def test_weights_are_those_of_real_checkpoints(name, request):
    folder = EMBEDDED_MODEL
    if name != "embedded":
        folder = request.getfixturevalue("shared") / "models" / name
    model, cost = load_model(folder, LORA), cost_of(folder)
    assert cost.num_weights == sum(leaf.size for leaf in model.frozen.values())
    sizes = [a * b for a, b in model.theta_shapes.values()]
    assert cost.num_theta == sum(sizes)


def test_flops_by_hand():
    # 2 layers, d 12, feed-forward 20, 4 heads and 2 key/value heads of 4, V 40, T 16.
    cost = ModelCost(tiny_config(num_layers=2), LORA, "float32")
    queries, keys, values, out = 12 * 16, 12 * 8, 12 * 8, 16 * 12
    each_layer = queries + keys + values + out + 3 * 12 * 20
    assert cost.matrices(16) == 2 * 16 * 2 * each_layer
    adapter = 2 * (28 + 20 + 20 + 28 + 3 * 32)  # rank 2 · (in + out)
    assert cost.adapter(16) == 2 * 16 * 2 * adapter
    assert cost.attention(16) == 2 * 2 * (2 * 16 * 16 * 4 * 4)  # scores, mixtures
    assert cost.head(16) == 2 * 16 * 12 * 40


def test_without_lora_theta_is_all_weights():
    cost = ModelCost(tiny_config(num_layers=2), None, "float32")
    assert cost.num_theta == cost.num_weights
    assert cost.adapter(16) == 0
    assert cost.tangent_factor == 2


def test_matrices_are_cut_and_norms_are_whole():
    cost = ModelCost(tiny_config(num_layers=2), LORA, "float32")
    norms = 5 * 12
    assert cost.divided_weights(1) == cost.num_weights
    assert cost.divided_weights(2) == norms + (cost.num_weights - norms) / 2


def test_a_model_axis_that_does_not_divide_is_refused():
    cost = ModelCost(tiny_config(num_layers=2), LORA, "float32")
    cost.require_divisible(2)
    with pytest.raises(InputError, match="model=4 does not divide 4 heads, 2 key"):
        cost.require_divisible(4)
