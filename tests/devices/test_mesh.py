import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from ntkjax.devices.mesh import (
    DATA_AXIS,
    MODEL_AXIS,
    MeshShape,
    data_mesh,
    is_local,
    make_mesh,
    num_groups,
    parse_mesh,
    place,
    replicate,
)
from ntkjax.errors import InputError


def test_mesh_of_all_local_devices():
    mesh = data_mesh()
    assert mesh.axis_names == (DATA_AXIS, MODEL_AXIS)
    assert mesh.devices.tolist() == [[device] for device in jax.local_devices()]
    assert len(jax.local_devices()) == 2  # of tests/conftest.py


def test_mesh_of_some_devices():
    assert data_mesh(1).devices.tolist() == [jax.local_devices()[:1]]


@pytest.mark.parametrize("num_devices", [0, 3, -1])
def test_mesh_of_devices_that_are_not_there(num_devices):
    with pytest.raises(ValueError, match=f"{num_devices} devices.*1 to 2"):
        data_mesh(num_devices)


def test_replicate_puts_a_copy_on_every_device():
    tree = {"a": jnp.arange(6.0).reshape(2, 3), "b": (jnp.ones(()),)}
    mesh = data_mesh()
    copies = replicate(tree, mesh)
    assert jax.tree.structure(copies) == jax.tree.structure(tree)
    for leaf, copied in zip(*map(jax.tree.leaves, (tree, copies)), strict=True):
        shards = copied.addressable_shards
        assert {shard.device for shard in shards} == set(jax.local_devices())
        assert all((shard.data == leaf).all() for shard in shards)


def test_what_lies_on_the_mesh_stays_as_it_is():
    mesh = make_mesh(MeshShape(1, 2), jax.devices())
    cut = place(np.arange(4.0), mesh, PartitionSpec(MODEL_AXIS))
    assert {shard.data.shape for shard in cut.addressable_shards} == {(2,)}
    assert replicate({"w": cut}, mesh)["w"] is cut
    moved = replicate(cut, data_mesh())  # another mesh of the same devices
    assert {shard.data.shape for shard in moved.addressable_shards} == {(4,)}


def test_rows_of_the_mesh_are_data_groups():
    devices = jax.devices()
    mesh = make_mesh(MeshShape(1, 2), devices)
    assert mesh.devices.tolist() == [devices]
    assert (num_groups(mesh), num_groups(data_mesh())) == (1, 2)
    assert is_local(mesh)
    with pytest.raises(ValueError, match="data=2,model=2 needs other than 2 devices"):
        make_mesh(MeshShape(2, 2), devices)


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        ("auto", None),
        ("data=4,model=2", (4, 2)),
        ("model=2,data=4", (4, 2)),
        ("model=8", (1, 8)),
        ("data=3", (3, 1)),
    ],
)
def test_parse_mesh(text, shape):
    found = parse_mesh(text)
    assert found == shape
    assert shape is None or parse_mesh(str(found)) == shape


@pytest.mark.parametrize(
    "text",
    [
        "",
        "4",
        "data=",
        "data=4,",
        "data=4;model=2",
        "data=0",
        "data=4,data=2",
        "data=-1",
        "x=2",
        "model=0",
        "model",
        "data=4,model=2,data=2",
        "data=4 ,model=2",
        ",data=4",
        "data=4,x=1",
    ],
)
def test_parse_mesh_refuses(text):
    with pytest.raises(InputError, match=f"mesh {text}: expected"):
        parse_mesh(text)


def test_rows_over_the_mesh_meet_replicated_weights():
    mesh = data_mesh()
    rng = np.random.default_rng(0)
    rows, weights = rng.normal(size=(4, 3)), rng.normal(size=(3, 2))
    rows, weights = rows.astype(np.float32), weights.astype(np.float32)
    split = jax.device_put(rows, NamedSharding(mesh, PartitionSpec(DATA_AXIS)))
    found = jax.jit(jnp.matmul)(split, replicate(weights, mesh))
    assert {shard.data.shape for shard in found.addressable_shards} == {(2, 2)}
    np.testing.assert_allclose(found, rows @ weights, rtol=1e-5)  # float32 rounding


@pytest.mark.slow
@pytest.mark.parametrize(
    ("most", "chosen", "expected"),
    [
        (1, None, 1),
        (10_000, None, len(os.sched_getaffinity(0))),
        (1, "3", 3),
    ],
)
def test_a_cpu_device_for_each_core(most, chosen, expected):
    # In a process of its own, because a backend counts its devices once.
    code = (
        "import jax; from ntkjax.devices.mesh import one_cpu_device_per_core; "
        f"one_cpu_device_per_core({most}); print(jax.local_device_count())"
    )
    environment = {k: v for k, v in os.environ.items() if k != "JAX_NUM_CPU_DEVICES"}
    environment |= {"JAX_NUM_CPU_DEVICES": chosen} if chosen else {}
    command = [sys.executable, "-c", code]
    out = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=True
    )
    assert int(out.stdout) == expected
