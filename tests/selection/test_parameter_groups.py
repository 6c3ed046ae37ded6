import numpy as np
import pytest

from ntkjax.selection.options import GRANULARITIES
from ntkjax.selection.parameter_groups import (
    group_ids,
    kind_of,
    layer_of,
    module_of,
    quota_kind_of,
    smallest_group,
)
from tests.selection.parameter_shapes import FULL, SHAPES, slow_groups


def test_a_module_has_both_matrices_of_an_adapter():
    assert np.bincount(group_ids(SHAPES, "module")).tolist() == [16, 20] * 3
    assert np.bincount(group_ids(SHAPES, "kind")).tolist() == [48, 60]
    assert (
        module_of("model.layers.1.mlp.up_proj.lora_B") == "model.layers.1.mlp.up_proj"
    )
    assert module_of("x") == "x"


def test_numbers_of_groups():
    ids = lambda kind: group_ids(FULL, kind)
    assert ids("element").tolist() == list(range(80))
    # five rows, a vector, four, four, a vector, five
    assert np.bincount(ids("row")).tolist() == [4] * 20
    assert np.bincount(ids("matrix")).tolist() == [20, 4, 16, 16, 4, 20]
    assert np.bincount(ids("module")).tolist() == [20, 4, 16, 16, 4, 20]
    assert np.bincount(ids("kind")).tolist() == [20, 8, 32, 20]
    assert np.bincount(ids("layer")).tolist() == [20, 20, 16, 4, 20]


def test_names_of_layers_and_modules():
    name = "model.layers.11.self_attn.q_proj.bias"
    assert (layer_of(name), kind_of(name)) == ("11", "q_proj")
    name = "model.layers.0.self_attn.q_norm.weight"
    assert (layer_of(name), kind_of(name)) == ("0", "norms")
    assert (layer_of("lm_head.lora_A"), kind_of("lm_head.lora_A")) == (None, "head")
    assert (layer_of("x"), kind_of("x")) == (None, "x")


def test_modules_with_a_quota():
    names = {name: quota_kind_of(name) for name in FULL}
    assert [name for name in names if names[name] == "q_proj"] == [
        name for name in FULL if "q_proj" in name
    ]
    assert set(names.values()) == {"q_proj", "other"}


@pytest.mark.parametrize("granularity", GRANULARITIES)
@pytest.mark.parametrize(
    "shapes", [SHAPES, FULL, {"a": (), "b": (3,)}], ids=["lora", "full", "number"]
)
def test_smallest_group(shapes, granularity):
    sizes = np.bincount(group_ids(shapes, granularity))
    assert smallest_group(shapes, granularity) == sizes.min()
    if granularity != "element" and () not in shapes.values():
        groups = slow_groups(shapes, granularity).values()
        assert sorted(sizes) == sorted(map(len, groups))
