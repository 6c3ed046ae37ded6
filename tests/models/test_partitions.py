import jax
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from ntkjax.devices.mesh import MeshShape, make_mesh
from ntkjax.devices.sharding import RULES
from ntkjax.errors import InputError
from ntkjax.models.language_model import split_model
from ntkjax.models.partitions import (
    possible_cuts,
    weight_bytes_per_device,
    weight_partitions,
)
from tests.problems import RANK_TWO, tiny_config


EVERYTHING = {"qkv_bias": True, "output_bias": True, "mlp_bias": True, "qk_norm": True}


def mesh(data=1, model=2):
    return make_mesh(MeshShape(data, model), jax.devices()[: data * model])


def shapes_of(config):
    _, _, shapes = split_model(config, RANK_TWO)
    return {name: leaf.shape for name, leaf in shapes.items()}


def test_every_weight_is_cut_where_the_table_says():
    config = tiny_config(num_layers=1, **EVERYTHING)
    found = weight_partitions(config, shapes_of(config), mesh())
    cut, layer = "model", "model.layers.0"
    expected = {
        "model.embed_tokens.weight": (cut, None),
        "lm_head.weight": (cut, None),
        "model.norm.weight": (None,),
        f"{layer}.input_layernorm.weight": (None,),
        f"{layer}.post_attention_layernorm.weight": (None,),
        f"{layer}.self_attn.o_proj.weight": (None, cut),
        f"{layer}.self_attn.o_proj.bias": (None,),
        f"{layer}.self_attn.q_norm.weight": (None,),
        f"{layer}.self_attn.k_norm.weight": (None,),
        f"{layer}.mlp.down_proj.weight": (None, cut),
        f"{layer}.mlp.down_proj.bias": (None,),
    }
    for module in ("self_attn.q", "self_attn.k", "self_attn.v", "mlp.gate", "mlp.up"):
        expected[f"{layer}.{module}_proj.weight"] = (cut, None)
        expected[f"{layer}.{module}_proj.bias"] = (cut,)
    assert found == {name: PartitionSpec(*axes) for name, axes in expected.items()}


def test_bytes_per_device_are_those_that_lie_there():
    config = tiny_config(**EVERYTHING)
    shapes = shapes_of(config)
    found = weight_partitions(config, shapes, mesh())
    on_first = 0
    for name, spec in found.items():
        zeros = np.zeros(shapes[name], np.float32)
        array = jax.device_put(zeros, NamedSharding(mesh(), spec))
        on_first += array.addressable_shards[0].data.nbytes
    assert weight_bytes_per_device(shapes, 4, 2) == on_first
    whole = sum(4 * np.prod(shape) for shape in shapes.values())
    assert weight_bytes_per_device(shapes, 4, 1) == whole


def test_possible_cuts_are_those_that_are_not_refused():
    config = tiny_config(num_heads=4, num_kv_heads=4, intermediate_size=24)
    assert possible_cuts(config, 8) == [1, 2, 4]
    assert possible_cuts(tiny_config(num_kv_heads=1), 8) == [1]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_kv_heads": 1}, "has 1 key/value heads, which model=2 does not divide"),
        ({"num_heads": 3, "num_kv_heads": 3}, "has 3 heads, which model=2"),
        ({"intermediate_size": 21}, r"\(12, 21\) has 21 along feed_forward"),
        ({"vocab_size": 41}, r"\(41, 12\) has 41 along vocab, which model=2 does not"),
    ],
)
def test_what_does_not_divide_is_refused(changes, message):
    config = tiny_config(**changes)
    with pytest.raises(InputError, match=message):
        weight_partitions(config, shapes_of(config), mesh())


def test_an_axis_of_the_mesh_cuts_one_axis_of_an_array():
    config = tiny_config()
    rules = {**RULES, "embed": "model"}
    message = r"lm_head.weight \(40, 12\): .* over the same axis of the mesh, model"
    with pytest.raises(InputError, match=message):
        weight_partitions(config, shapes_of(config), mesh(), rules)
