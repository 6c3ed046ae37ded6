"""The local devices as one data axis.

On CPUs JAX shows one device by default and parallelizes inside each operation; small
matrices gain more from one device per core, each doing its own share of the work.
"""

import os

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec


DATA_AXIS = "data"


def one_cpu_device_per_core(most: int = 8) -> None:
    """Makes the CPU backend show a device for each core this process may use.

    Each device holds its own copy of the frozen weights, hence the limit. To be called
    before JAX is used; a count that the user chose (`JAX_NUM_CPU_DEVICES`) is kept.
    """
    if "JAX_NUM_CPU_DEVICES" in os.environ:
        return
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
    jax.config.update("jax_num_cpu_devices", min(cores, most))


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
    return Mesh(np.array(devices[:num_devices]), (DATA_AXIS,))


def replicate(tree, mesh: Mesh):
    """The arrays of `tree`, a copy on every device."""
    return jax.device_put(tree, NamedSharding(mesh, PartitionSpec()))
