import jax
import numpy as np

from ntkjax.checkpoints.layouts import weight_layouts
from ntkjax.devices.mesh import MeshShape, make_mesh
from ntkjax.models.language_model import split_model
from tests.problems import RANK_TWO, tiny_config


CONFIG = tiny_config(num_layers=1)
SHAPES = {n: leaf.shape for n, leaf in split_model(CONFIG, RANK_TWO)[2].items()}
DEVICES = jax.devices()
UP, DOWN = (f"model.layers.0.mlp.{kind}_proj.weight" for kind in ("up", "down"))


def test_each_device_holds_its_part():
    found = weight_layouts(CONFIG, SHAPES, make_mesh(MeshShape(1, 2), DEVICES))
    first, second = [DEVICES[0]], [DEVICES[1]]
    assert found[UP].devices == {
        ((0, 10), (0, 12)): first,
        ((10, 20), (0, 12)): second,
    }
    assert found[DOWN].devices == {
        ((0, 12), (0, 10)): first,
        ((0, 12), (10, 20)): second,
    }
    assert found["model.norm.weight"].devices == {((0, 12),): DEVICES}


def test_data_groups_hold_the_same():
    found = weight_layouts(CONFIG, SHAPES, make_mesh(MeshShape(2, 1), DEVICES))
    assert found[UP].devices == {((0, 20), (0, 12)): DEVICES}


def test_without_a_mesh_all_is_on_the_default_device():
    found = weight_layouts(CONFIG, SHAPES, None)
    assert found[UP].devices == {((0, 20), (0, 12)): DEVICES[:1]}


def test_a_part_is_asked_for_once():
    whole = np.arange(240, dtype=np.float32).reshape(20, 12)
    asked = []

    def read(part):
        asked.append(part)
        return whole[tuple(slice(*side) for side in part)]

    for shape, number in ((MeshShape(2, 1), 1), (MeshShape(1, 2), 2)):
        asked.clear()
        array = weight_layouts(CONFIG, SHAPES, make_mesh(shape, DEVICES))[UP].fill(read)
        assert len(asked) == number
        assert (np.asarray(array) == whole).all()
