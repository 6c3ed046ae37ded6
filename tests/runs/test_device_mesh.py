from types import SimpleNamespace

import jax
import numpy as np
import pytest

from ntkjax.devices.mesh import data_mesh
from ntkjax.errors import InputError
from ntkjax.runs import device_mesh
from ntkjax.runs.device_mesh import automatic_mesh, open_mesh, weight_bytes
from ntkjax.settings.devices import DeviceOptions
from tests.commands.world import build_world
from tests.problems import tiny_config


CONFIG = tiny_config(num_heads=4, num_kv_heads=4, intermediate_size=24)
WHOLE = float(weight_bytes(CONFIG, 4, 1))
FLOAT32 = np.dtype(np.float32)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return build_world(tmp_path_factory.mktemp("world"))


@pytest.mark.parametrize(
    ("memory", "expected"),
    [
        (None, (8, 1)),
        (2 * WHOLE, (8, 1)),
        (WHOLE, (4, 2)),  # 0.6 of a device do not hold the weights
        (WHOLE / 2, (2, 4)),
        (WHOLE / 100, (2, 4)),  # 8 devices cannot share 4 heads
    ],
)
def test_as_few_devices_as_hold_the_weights(memory, expected):
    assert automatic_mesh(CONFIG, 4, 8, 8, memory) == expected


def test_the_mesh_divides_the_devices():
    assert automatic_mesh(CONFIG, 4, 6, 6, WHOLE / 100) == (3, 2)
    assert automatic_mesh(CONFIG, 4, 3, 3, WHOLE / 100) == (3, 1)


def test_whole_processes_share_the_weights():
    """Parts of a process's devices, or several processes with all of theirs."""
    assert automatic_mesh(CONFIG, 4, 12, 3, WHOLE / 100) == (12, 1)
    assert automatic_mesh(CONFIG, 4, 12, 1, WHOLE / 100) == (3, 4)
    assert automatic_mesh(CONFIG, 4, 12, 2, WHOLE / 100) == (3, 4)
    assert automatic_mesh(CONFIG, 4, 12, 6, WHOLE / 100) == (6, 2)


@pytest.mark.parametrize(
    ("mesh", "shape"), [("auto", (2, 1)), ("model=2", (1, 2)), ("data=2", (2, 1))]
)
def test_open(world, mesh, shape):
    found = open_mesh(DeviceOptions(mesh), world.model, FLOAT32)
    assert found.devices.shape == shape
    assert found.devices.ravel().tolist() == jax.devices()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("data=4,model=2",), "data=4,model=2: needs 8 devices, but there are 2"),
        (("data=1",), "mesh data=1: needs 1 devices, but there are 2"),
        (("data=2", 4e-5), r"on each device, which has .*; choose mesh data=1,mode"),
        (("auto", 1e-6), r"; use more devices, or dtype bfloat16\.$"),
    ],
)
def test_refused(world, options, message):
    with pytest.raises(InputError, match=message):
        open_mesh(DeviceOptions(*options), world.model, FLOAT32)


def test_weights_that_fit_only_when_shared(world):
    memory = 1.2 * weight_bytes(read(world), 4, 2) / 2**30
    found = open_mesh(DeviceOptions("auto", memory), world.model, FLOAT32)
    assert found.devices.shape == (1, 2)


def stand_in(monkeypatch, own: int, count: int, local: int) -> list:
    """Makes JAX show devices of several processes; gets shapes and ids of meshes."""
    made, mesh = [], data_mesh()
    devices = [
        SimpleNamespace(process_index=p, id=10 * p + i, memory_stats=dict)
        for p in range(count)
        for i in range(local)
    ]
    mine = [device for device in devices if device.process_index == own]
    for name, value in (
        ("devices", lambda: devices[::-1]),  # in any order
        ("local_devices", lambda: mine),
        ("local_device_count", lambda: local),
        ("process_index", lambda: own),
    ):
        monkeypatch.setattr(device_mesh.jax, name, value)

    def make_mesh(shape, chosen):
        made.append((tuple(shape), [device.id for device in chosen]))
        return mesh

    monkeypatch.setattr(device_mesh, "make_mesh", make_mesh)
    return made


@pytest.mark.parametrize(
    ("mesh", "apart", "shape", "ids"),
    [
        ("data=8", False, (8, 1), [0, 1, 10, 11, 20, 21, 30, 31]),
        ("data=8", True, (2, 1), [20, 21]),
        ("data=4,model=2", True, (1, 2), [20, 21]),
        ("data=2,model=4", True, (1, 4), [20, 21, 30, 31]),
        ("data=2,model=4", False, (2, 4), [0, 1, 10, 11, 20, 21, 30, 31]),
    ],
)
def test_several_processes(world, monkeypatch, mesh, apart, shape, ids):
    """The mesh of process 2 of 4 with two devices each."""
    made = stand_in(monkeypatch, own=2, count=4, local=2)
    open_mesh(DeviceOptions(mesh), world.model, FLOAT32, apart=apart)
    assert made == [(shape, ids)]


@pytest.mark.parametrize(
    ("mesh", "message"),
    [
        ("data=4", "mesh data=4: needs 4 devices, but there are 6 in 2 processes"),
        ("data=3,model=2", "each process has 3 devices; model= must divide their"),
    ],
)
def test_several_processes_refused(world, monkeypatch, mesh, message):
    stand_in(monkeypatch, own=0, count=2, local=3)
    with pytest.raises(InputError, match=message):
        open_mesh(DeviceOptions(mesh), world.model, FLOAT32)


def read(world):
    from ntkjax.checkpoints.families.table import read_config

    return read_config(world.model).decoder
