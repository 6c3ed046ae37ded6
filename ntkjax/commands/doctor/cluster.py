"""`ntkjax doctor` on a cluster: do its processes find each other, and do they agree?

Everything that a run of several processes relies on is tried once, small: versions and
settings, devices, one sum over all of them, clocks, and the folder that all write to.
"""

import dataclasses
import os
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

import ntkjax
from ntkjax.commands.doctor import cluster_checks as verdicts
from ntkjax.commands.doctor.cluster_checks import Peer
from ntkjax.commands.doctor.exchanges import (
    FAILED,
    NoAnswer,
    exchange,
    first_line,
    limited,
    this_host,
)
from ntkjax.commands.doctor.self_checks import Check, Report
from ntkjax.commands.doctor.shared_folder import look_for_each_other
from ntkjax.devices import processes
from ntkjax.devices.mesh import one_cpu_device_per_core
from ntkjax.errors import InputError, setting
from ntkjax.runs import environment
from ntkjax.settings.devices import (
    DeviceOptions,
    check_device_options,
    meeting_of,
)
from ntkjax.store.run_directory import NOTES, hash_files
from ntkjax.store.run_path import RunPath


_VARIABLES = (
    "JAX_DEFAULT_MATMUL_PRECISION",
    "JAX_ENABLE_X64",
    "LIBTPU_INIT_ARGS",
    "NVIDIA_TF32_OVERRIDE",
    "XLA_FLAGS",
)
"""Of the environment: they change numbers, or how programs are compiled."""

_REMEDY = (
    "These processes cannot make one run: mend what failed, then run ntkjax doctor "
    "again."
)


def meet(options: DeviceOptions, out: RunPath | None) -> None:
    """Joins the other processes and finds the devices of all.

    Raises:
        InputError: If nothing says where the others are.
        NoAnswer: If the devices cannot be opened.
    """
    check_device_options(options)
    meeting = meeting_of(options)
    one_cpu_device_per_core()
    seconds = options.initialization_timeout + limit(options)
    try:
        with limited("meeting the other processes", seconds, this_host()):
            if meeting is not None:
                processes.join(meeting, out / NOTES if out else None)
            if not jax.distributed.is_initialized():
                raise InputError(
                    "JAX finds no cluster here (TPU slice, SLURM, Open MPI); give "
                    f"{setting('coordinator_address')}, {setting('num_processes')} and "
                    f"{setting('process_id')}.",
                    field="distributed",
                    value="auto",
                )
            jax.devices()
    except RuntimeError as error:
        raise NoAnswer(
            f"{this_host()}: JAX cannot open the devices: {first_line(error)}", FAILED
        ) from error


def examine_cluster(
    options: DeviceOptions, out: RunPath | None, settings: Mapping[str, Any]
) -> Report:
    """Facts and checks of all processes, the same in each; all must call this.

    Args:
        options: From the flags.
        out: The folder that should be shared, if there is one.
        settings: Plain values that should be the same in all processes.

    Raises:
        NoAnswer: If another process is lost or does not answer.
    """
    who = f"process {jax.process_index()} (host {socket.gethostname()})"
    seconds = limit(options)
    with exchange("telling versions and settings", seconds, who):
        told = processes.gathered(dataclasses.asdict(_this_process(settings)))
    peers = [Peer(**values) for values in told]
    checks: list[Check | None] = [
        verdicts.check_processes(peers),
        verdicts.check_devices(peers),
        verdicts.check_mesh(options.mesh, peers),
        verdicts.check_versions(peers),
        verdicts.check_settings(peers),
    ]
    with exchange("reading the clocks", seconds, who):
        processes.gathered(None)  # all leave this at about the same moment
        times = processes.gathered(time.time())
    checks.append(verdicts.check_clocks(peers, times))
    with exchange("a sum over all devices", seconds, who):
        found, taken = _sum_over_devices()
        sums = processes.gathered(found)
    checks.append(verdicts.check_sum(peers, sums, taken))
    if out is None:
        checks.append(verdicts.no_folder())
    else:
        with exchange(f"writing to {out}", seconds, who):
            sightings = look_for_each_other(out / NOTES)
        checks.append(verdicts.check_folder(out, peers, sightings))
    made = [check for check in checks if check is not None]
    return Report(_facts(peers), made, _REMEDY)


def limit(options: DeviceOptions) -> float:
    """Seconds for one step; within two time-outs JAX itself notices a lost process."""
    return 2.0 * options.heartbeat_timeout + 10


def _this_process(settings: Mapping[str, Any]) -> Peer:
    devices = jax.local_devices()
    sources = sorted(Path(ntkjax.__file__).parent.rglob("*.py"))
    source = hash_files(sources)[:12]
    variables = {name: os.environ.get(name) for name in _VARIABLES}
    return Peer(
        jax.process_index(),
        socket.gethostname(),
        len(devices),
        devices[0].device_kind,
        {**environment.versions(), "source files": source},
        {**variables, **settings},
    )


def _facts(peers: list[Peer]) -> dict[str, str]:
    hosts = {f"process {p.index}": f"{p.host}, {p.devices}" for p in peers}
    return {**peers[0].versions, **hosts}


def _sum_over_devices() -> tuple[int, float]:
    """1 + 2 + ... + n with a number on each device, and the seconds it takes."""
    devices = sorted(jax.devices(), key=lambda d: (d.process_index, d.id))
    mesh = Mesh(np.array(devices), ("devices",))
    numbers = jax.make_array_from_single_device_arrays(
        (len(devices),),
        NamedSharding(mesh, PartitionSpec("devices")),
        [
            jax.device_put(np.array([i], np.int32), device)
            for i, device in enumerate(devices, start=1)
            if device.process_index == jax.process_index()
        ],
    )
    total = jax.jit(jnp.sum, out_shardings=NamedSharding(mesh, PartitionSpec()))
    total(numbers).block_until_ready()  # compiles
    begin = time.perf_counter()
    found = int(total(numbers))
    return found, time.perf_counter() - begin
