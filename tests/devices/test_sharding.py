import jax
import pytest
from jax.sharding import PartitionSpec

from ntkjax.devices.mesh import MeshShape, make_mesh
from ntkjax.devices.sharding import RULES, partition
from ntkjax.errors import InputError


MESH = make_mesh(MeshShape(1, 2), jax.devices())


def test_axes_become_those_of_the_mesh():
    assert partition("w", (4, 3), ("heads", "embed"), MESH) == PartitionSpec(
        "model", None
    )
    assert partition("b", (3,), ("embed",), MESH) == PartitionSpec(None)
    rules = {"rows": "data", "embed": "model"}
    both = partition("x", (3, 4), ("rows", "embed"), MESH, rules)
    assert both == PartitionSpec("data", "model")


def test_the_shape_is_named_where_an_axis_does_not_divide():
    with pytest.raises(
        InputError, match=r"w \(3, 4\) has 3 along heads, which model=2"
    ):
        partition("w", (3, 4), ("heads", "embed"), MESH)


def test_an_axis_of_the_mesh_is_used_once():
    rules = {**RULES, "embed": "model"}
    with pytest.raises(InputError, match=r"w \(4, 4\): .* over the same axis"):
        partition("w", (4, 4), ("heads", "embed"), MESH, rules)


def test_an_axis_without_a_rule():
    with pytest.raises(KeyError, match="taste"):
        partition("w", (4,), ("taste",), MESH)
