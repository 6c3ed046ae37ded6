import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from ntkjax.devices.mesh import DATA_AXIS, data_mesh, replicate


def test_mesh_of_all_local_devices():
    mesh = data_mesh()
    assert mesh.axis_names == (DATA_AXIS,)
    assert list(mesh.devices) == jax.local_devices()
    assert len(jax.local_devices()) == 2  # of tests/conftest.py


def test_mesh_of_some_devices():
    assert list(data_mesh(1).devices) == jax.local_devices()[:1]


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


def test_rows_over_the_mesh_meet_replicated_weights():
    mesh = data_mesh()
    rng = np.random.default_rng(0)
    rows, weights = rng.normal(size=(4, 3)), rng.normal(size=(3, 2))
    rows, weights = rows.astype(np.float32), weights.astype(np.float32)
    split = jax.device_put(rows, NamedSharding(mesh, PartitionSpec(DATA_AXIS)))
    found = jax.jit(jnp.matmul)(split, replicate(weights, mesh))
    assert {shard.data.shape for shard in found.addressable_shards} == {(2, 2)}
    np.testing.assert_allclose(found, rows @ weights, rtol=1e-5)  # float32 rounding


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
