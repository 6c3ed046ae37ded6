"""Where weights lie: which part of each a device holds."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, Sharding, SingleDeviceSharding

from ntkjax.checkpoints.stored_tensor import Part
from ntkjax.models.config import DecoderConfig
from ntkjax.models.partitions import weight_partitions


class Layout(NamedTuple):
    """Where an array is to lie.

    Attributes:
        shape: Of all of it.
        sharding: How it is cut.
        devices: Devices of this process by the part that each of them holds.
    """

    shape: tuple[int, ...]
    sharding: Sharding
    devices: dict[Part, list]

    def fill(self, read: Callable[[Part], np.ndarray]) -> jax.Array:
        """The array, from `read`, which gives a part; it is called once for each."""
        pieces = []
        for part, devices in self.devices.items():
            array = read(part)
            pieces += [jax.device_put(array, device) for device in devices]
        return jax.make_array_from_single_device_arrays(
            self.shape, self.sharding, pieces
        )


def weight_layouts(
    config: DecoderConfig, shapes: Mapping[str, tuple[int, ...]], mesh: Mesh | None
) -> dict[str, Layout]:
    """The layout of every weight: cut over the mesh, or whole on the default device.

    Raises:
        InputError: If a weight cannot be cut over the mesh.
    """
    if mesh is None:
        alone = SingleDeviceSharding(jax.local_devices()[0])
        shardings: dict[str, Sharding] = dict.fromkeys(shapes, alone)
    else:
        specs = weight_partitions(config, shapes, mesh)
        shardings = {name: NamedSharding(mesh, spec) for name, spec in specs.items()}
    return {name: _layout(shapes[name], where) for name, where in shardings.items()}


def _layout(shape: tuple[int, ...], sharding: Sharding) -> Layout:
    devices: dict[Part, list] = {}
    for device, index in sharding.addressable_devices_indices_map(shape).items():
        sides = zip(index or (), shape, strict=True)
        part = tuple(side.indices(size)[:2] for side, size in sides)
        devices.setdefault(part, []).append(device)
    return Layout(shape, sharding, devices)
