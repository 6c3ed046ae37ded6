"""The mesh of a run: as it is asked for, or the smallest that holds the weights."""

from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np
from jax.sharding import Mesh

from ntkjax.checkpoints.families.table import read_config
from ntkjax.devices import processes
from ntkjax.devices.mesh import MeshShape, make_mesh, parse_mesh
from ntkjax.errors import InputError, setting
from ntkjax.models.config import DecoderConfig
from ntkjax.models.language_model import split_model
from ntkjax.models.partitions import possible_cuts, weight_bytes_per_device
from ntkjax.settings.devices import DeviceOptions


WEIGHTS_SHARE = 0.6
"""Of a device's memory, for the weights where the mesh is `auto`: the rest is work."""

_GIB = 2**30


def open_mesh(
    options: DeviceOptions, folder: Path, dtype: np.dtype, *, apart: bool = False
) -> Mesh:
    """The devices of all processes in a mesh for a model.

    Args:
        options: From the flags.
        folder: Of the model; only its config is read.
        dtype: Type of the weights.
        apart: Whether processes work on rows of their own: then the mesh is of this
            one's devices, or of as few processes' as hold the weights between them.

    Raises:
        InputError: If the devices are not those asked for, or cannot hold the weights.
    """
    devices = sorted(jax.devices(), key=lambda d: (d.process_index, d.id))
    local = jax.local_device_count()
    config = read_config(folder).decoder
    memory = _memory(options, jax.local_devices())
    shape = parse_mesh(options.mesh)
    if shape is None:
        shape = automatic_mesh(config, dtype.itemsize, len(devices), local, memory)
    require_devices(options.mesh, shape, len(devices), local)
    _require_room(config, dtype.itemsize, shape, memory)
    processes.require_same({"mesh": str(shape), "devices": local})
    if not apart:
        return make_mesh(shape, devices)
    size = max(shape.model, local)
    start = jax.process_index() * local // size * size
    shape = MeshShape(size // shape.model, shape.model)
    return make_mesh(shape, devices[start : start + size])


def automatic_mesh(
    config: DecoderConfig,
    itemsize: int,
    num_devices: int,
    local: int,
    memory: float | None,
) -> MeshShape:
    """The mesh with the fewest devices to a copy of the weights.

    Args:
        config: The architecture.
        itemsize: Bytes of a weight.
        num_devices: Devices in all.
        local: Devices of each process.
        memory: Bytes of a device; None if they are not known: then each holds all.
    """
    cuts = possible_models(config, num_devices, local)
    if memory is None:
        cuts = cuts[:1]
    for model in cuts:
        if weight_bytes(config, itemsize, model) <= WEIGHTS_SHARE * (memory or np.inf):
            break
    else:
        model = cuts[-1]
    return MeshShape(num_devices // model, model)


def possible_models(config: DecoderConfig, num_devices: int, local: int) -> list[int]:
    """Numbers of devices that can share the weights, ascending; 1 always can.

    Args:
        config: The architecture.
        num_devices: Devices in all.
        local: Devices of each process.
    """
    return [
        n
        for n in possible_cuts(config, num_devices)
        if num_devices % n == 0 and (local % n == 0 or n % local == 0)
    ]


def weight_bytes(config: DecoderConfig, itemsize: int, model: int) -> int:
    """Bytes of weights on each of `model` devices that share them."""
    _, _, leaves = split_model(config, None)
    shapes = {name: leaf.shape for name, leaf in leaves.items()}
    return weight_bytes_per_device(shapes, itemsize, model)


def require_devices(mesh: str, shape: MeshShape, total: int, local: int) -> None:
    """Raises `InputError` unless the mesh is made of all devices.

    Args:
        mesh: As it is asked for.
        shape: What that means.
        total: Devices in all.
        local: Devices of each process.
    """
    if shape.data * shape.model != total:
        processes_too = f" in {total // local} processes" * (total > local)
        raise InputError(
            f"needs {shape.data * shape.model} devices, but there are "
            f"{total}{processes_too}.",
            field="mesh",
            value=mesh,
        )
    if local % shape.model and shape.model % local:
        raise InputError(
            f"each process has {local} devices; model= must divide their number, or be "
            "a multiple of it.",
            field="mesh",
            value=mesh,
        )


def _memory(options: DeviceOptions, devices: Sequence) -> float | None:
    if options.memory_per_device is not None:
        return options.memory_per_device * _GIB
    found = [device.memory_stats() or {} for device in devices]
    limits = [stats["bytes_limit"] for stats in found if "bytes_limit" in stats]
    return min(limits, default=None)


def _require_room(
    config: DecoderConfig, itemsize: int, shape: MeshShape, memory: float | None
) -> None:
    needed = weight_bytes(config, itemsize, shape.model)
    if memory is None or needed <= memory:
        return
    total = shape.data * shape.model
    fitting = [
        model
        for model in possible_cuts(config, total)
        if total % model == 0 and weight_bytes(config, itemsize, model) <= memory
    ]
    advice = f"use more devices, or {setting('dtype')} bfloat16"
    if fitting:
        shape_for = MeshShape(total // fitting[0], fitting[0])
        advice = f"choose {setting('mesh')} {shape_for}"
    raise InputError(
        f"the weights take {needed / _GIB:.3g} GiB on each device, which has "
        f"{memory / _GIB:.3g}; {advice}.",
        field="mesh",
        value=shape,
    )
