"""The mesh of devices: examples over the axis `data`, weights over the axis `model`.

The devices of one row of the mesh, a *data group*, hold one copy of the frozen weights
between them. Without need the axis `model` has one device, and each holds all weights.

On CPUs JAX shows one device by default and parallelizes inside each operation; small
matrices gain more from one device per core, each doing its own share of the work.
"""

import functools
import os
import re
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from ntkjax.errors import InputError


DATA_AXIS, MODEL_AXIS = "data", "model"


class MeshShape(NamedTuple):
    """Devices along the two axes.

    Attributes:
        data: Data groups, which share the examples.
        model: Devices of a data group, which share the weights.
    """

    data: int
    model: int

    def __str__(self) -> str:
        return f"{DATA_AXIS}={self.data},{MODEL_AXIS}={self.model}"


def parse_mesh(text: str) -> MeshShape | None:
    """The shape that the setting `mesh` asks for; None for `auto`.

    Raises:
        InputError: Unless it is `auto` or names each axis once, with 1 or more devices.
    """
    if text == "auto":
        return None
    axis = f"({DATA_AXIS}|{MODEL_AXIS})=([0-9]{{1,9}})"
    sizes = dict(re.findall(axis, text))
    if not re.fullmatch(rf"{axis}(,(?!\1){axis})?", text):
        raise InputError(
            "expected auto, or devices along the axes, such as data=4,model=2.",
            field="mesh",
            value=text,
        )
    shape = MeshShape(*(int(sizes.get(name, 1)) for name in MeshShape._fields))
    if min(shape) < 1:
        raise InputError(
            "expected at least 1 device along an axis.", field="mesh", value=text
        )
    return shape


def one_cpu_device_per_core(most: int = 8) -> None:
    """Makes the CPU backend show a device for each core this process may use.

    Each device holds its own copy of the frozen weights, hence the limit. To be called
    before JAX is used; a count that the user chose (`JAX_NUM_CPU_DEVICES`) is kept.
    """
    if "JAX_NUM_CPU_DEVICES" in os.environ:
        return
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
    jax.config.update("jax_num_cpu_devices", min(cores, most))


def make_mesh(shape: MeshShape, devices: Sequence) -> Mesh:
    """Devices in rows of `shape.model`, in their order.

    Raises:
        ValueError: If there are more or fewer devices than the shape has.
    """
    if shape.data * shape.model != len(devices):
        raise ValueError(f"a mesh of {shape} needs other than {len(devices)} devices.")
    return Mesh(np.array(devices).reshape(shape), (DATA_AXIS, MODEL_AXIS))


def data_mesh(num_devices: int | None = None) -> Mesh:
    """A mesh of local devices, by default all, along the axis `data`.

    Raises:
        ValueError: If there are not that many.
    """
    devices = jax.local_devices()
    if num_devices is not None and not 1 <= num_devices <= len(devices):
        raise ValueError(
            f"a mesh of {num_devices} devices: expected 1 to {len(devices)}."
        )
    chosen = devices[:num_devices]
    return make_mesh(MeshShape(len(chosen), 1), chosen)


def num_groups(mesh: Mesh) -> int:
    """Data groups: how many share the rows of a batch."""
    return mesh.shape[DATA_AXIS]


@functools.cache
def is_local(mesh: Mesh) -> bool:
    """Whether all its devices are this process's own."""
    return all(d.process_index == jax.process_index() for d in mesh.devices.flat)


def replicate(tree, mesh: Mesh):
    """The arrays of `tree`, a copy on every device.

    Those that lie on the mesh already, whole or cut, stay as they are.
    """
    return place(tree, mesh, PartitionSpec())


def place(tree, mesh: Mesh, spec: PartitionSpec):
    """The arrays of `tree` on the devices of the mesh, cut as `spec` says.

    Those that lie on the mesh already stay as they are. Where the mesh has devices of
    other processes, each of these must hold the same numbers and call this, too.
    """
    sharding = NamedSharding(mesh, spec)

    def put(leaf) -> jax.Array:
        if isinstance(leaf, jax.Array) and _lies_on(leaf, mesh):
            return leaf
        if is_local(mesh):
            return jax.device_put(leaf, sharding)
        if _is_key(leaf):
            words = put(jax.random.key_data(leaf))
            return jax.random.wrap_key_data(words, impl=jax.random.key_impl(leaf))
        host = np.asarray(leaf)
        return jax.make_array_from_callback(host.shape, sharding, host.__getitem__)

    return jax.tree.map(put, tree)


def readable(array: jax.Array) -> jax.Array:
    """The array, whole on every device if other processes have parts of it.

    Each of these must call this, too.
    """
    sharding = array.sharding
    if array.is_fully_addressable or array.is_fully_replicated:
        return array
    assert isinstance(sharding, NamedSharding)
    whole = NamedSharding(sharding.mesh, PartitionSpec())
    return jax.jit(lambda leaf: leaf, out_shardings=whole)(array)


def _is_key(leaf) -> bool:
    kind = jax.dtypes.prng_key
    return isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, kind)


def _lies_on(array: jax.Array, mesh: Mesh) -> bool:
    found = array.sharding
    return isinstance(found, NamedSharding) and found.mesh == mesh
