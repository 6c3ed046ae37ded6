"""The processes of a run: JAX's own multi-controller runtime, joined once.

A process that loses another is ended by JAX within the heartbeat time-out; a small
program beside it (`ntkjax.devices.explainer`) says in one line which one was lost.
"""

import contextlib
import importlib.util
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Shaped

from ntkjax.devices import explainer
from ntkjax.errors import InputError, setting
from ntkjax.store.atomic import write_text
from ntkjax.store.folders import make_folder
from ntkjax.store.run_path import RunPath


_notes: RunPath | None = None
"""Where this process notes its stage; None while it works alone."""

_patience = 0
"""Seconds of the heartbeat time-out."""

_stage = "the beginning"
"""What this process does."""


@dataclass(frozen=True)
class Meeting:
    """How the processes of a run find each other.

    Attributes:
        address: HOST:PORT of process 0.
        count: Processes in all.
        index: Number of this one, from 0.
        patience: Seconds to wait for the others at the start.
        heartbeat: Seconds without a sign of life after which a process counts as lost.
    """

    address: str | None
    count: int | None
    index: int | None
    patience: int
    heartbeat: int

    @property
    def is_given(self) -> bool:
        """Whether any of it was said, and not left to the cluster."""
        said = (self.address, self.count, self.index)
        return said != (None, None, None)


def in_cluster() -> bool:
    """Whether JAX may find other processes by itself: SLURM, Open MPI, a TPU slice."""
    names = ("SLURM_STEP_NODELIST", "OMPI_COMM_WORLD_SIZE", "JAX_COORDINATOR_ADDRESS")
    has_tpu = importlib.util.find_spec("libtpu") is not None
    platforms = os.environ.get("JAX_PLATFORMS", "")
    return any(n in os.environ for n in names) or (has_tpu and platforms != "cpu")


def join(meeting: Meeting, folder: RunPath | None) -> None:
    """Joins the other processes, once; to be called before JAX uses a device.

    Args:
        meeting: How.
        folder: Where processes note what they do, for the message of a loss; None to
            name them by their numbers alone.

    Raises:
        InputError: If what is given is not enough.
    """
    if jax.distributed.is_initialized():
        return
    original = _divert_errors(meeting, folder)
    try:
        jax.distributed.initialize(
            meeting.address,
            meeting.count,
            meeting.index,
            initialization_timeout=meeting.patience,
            heartbeat_timeout_seconds=meeting.heartbeat,
        )
    except (ValueError, TypeError) as error:
        os.dup2(original, 2)
        if not meeting.is_given:
            return
        raise InputError(
            f"{setting('coordinator_address')}, {setting('num_processes')}, "
            f"{setting('process_id')}: {error} Give all three, or none in a cluster "
            "that JAX knows."
        ) from error
    if is_joined():
        _silence_libraries()
        global _notes, _patience
        _notes, _patience = folder, meeting.heartbeat
        note_stage("the beginning")


def is_joined() -> bool:
    """Whether this process is one of several."""
    return jax.distributed.is_initialized() and jax.process_count() > 1


def is_first() -> bool:
    """Whether this process speaks and writes for all."""
    return not is_joined() or jax.process_index() == 0


_SIGNS = ("gloo", "nccl", "remote process", "network error", "unavailable", "aborted")
"""Words of the libraries through which devices talk, where one does not answer."""


def is_loss(error: RuntimeError) -> bool:
    """Whether a program failed as another process ended: gloo and NCCL say so."""
    said = str(error).lower()
    return may_be_loss(error) and any(sign in said for sign in _SIGNS)


def may_be_loss(error: RuntimeError) -> bool:
    """Whether a program failed for a reason that may be another process's end."""
    is_full = "RESOURCE_EXHAUSTED" in str(error)
    return isinstance(error, jax.errors.JaxRuntimeError) and not is_full


def await_verdict() -> None:
    """Waits until JAX knows which process was lost, which ends this one.

    Returns if it finds none within the heartbeat time-out and some seconds.
    """
    time.sleep(_patience + 10)


def stage() -> str:
    """What this process does, as it noted last."""
    return _stage


def note_stage(stage: str) -> None:
    """Notes what this process does, for the others' message should it be lost.

    A folder that cannot be written costs the message its host, and nothing else.
    """
    global _stage
    _stage = stage
    if _notes is None:
        return
    note = {"host": socket.gethostname(), "stage": stage}
    with contextlib.suppress(OSError, InputError):
        make_folder(_notes)
        write_text(_notes / f"process-{jax.process_index()}.json", json.dumps(note))


def require_same(values: Mapping[str, Any]) -> None:
    """Raises `InputError`, in all processes, unless all were started alike.

    Args:
        values: Plain values, such as settings and versions.
    """
    first, *others = gathered(values)
    for index, other in enumerate(others, start=1):
        for key in sorted(first.keys() | other.keys()):
            if first.get(key) != other.get(key):
                raise InputError(
                    f"process {index} has {key} {other.get(key)!r}, but process 0 has "
                    f"{first.get(key)!r}; start all of them alike, on the same files."
                )


def from_first(value: Any) -> Any:
    """The plain value of the first process, in all of them; each must call this."""
    return gathered(value)[0]


def gathered(value: Any) -> list:
    """The plain values of all processes, in their order; each must call this."""
    if not is_joined():
        return [value]
    text = json.dumps(value, sort_keys=True, default=str)
    own = np.frombuffer(text.encode(), np.uint8)
    lengths = _gathered_rows(np.array([own.size], np.int32))[:, 0]
    padded = np.zeros(lengths.max(), np.uint8)
    padded[: own.size] = own
    pairs = zip(_gathered_rows(padded), lengths, strict=True)
    return [json.loads(row[:length].tobytes()) for row, length in pairs]


def _silence_libraries() -> None:
    """Leads what is written to standard output below Python nowhere: gloo's lines."""
    sys.stdout.flush()
    own = os.dup(1)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)
    sys.stdout = os.fdopen(own, "w", buffering=1, closefd=False)


def _gathered_rows(own: Shaped[np.ndarray, " n"]) -> Shaped[np.ndarray, "processes n"]:
    """The rows of all processes, which need not have as many devices each."""
    devices = sorted(jax.devices(), key=lambda d: (d.process_index, d.id))
    mesh = Mesh(np.array(devices), ("devices",))
    each = NamedSharding(mesh, PartitionSpec("devices"))
    whole = NamedSharding(mesh, PartitionSpec())
    owners = [device.process_index for device in devices]
    local = [d for d in devices if d.process_index == jax.process_index()]
    rows = jax.make_array_from_single_device_arrays(
        (len(devices), own.size), each, [jax.device_put(own[None], d) for d in local]
    )
    found = np.asarray(jax.jit(_as_it_is, out_shardings=whole)(rows))
    return found[[owners.index(process) for process in range(jax.process_count())]]


def _as_it_is(rows: jax.Array) -> jax.Array:
    return rows


def _divert_errors(meeting: Meeting, folder: RunPath | None) -> int:
    """Leads what is written below Python to the explainer; gives the old stream."""
    sys.stderr.flush()
    original = os.dup(2)
    words = [
        *(str(meeting.index or 0), str(meeting.count or 0), meeting.address or "?"),
        *(str(meeting.patience), str(folder or os.devnull)),
    ]
    beside = subprocess.Popen(
        [sys.executable, "-I", explainer.__file__, *words],
        stdin=subprocess.PIPE,
        stderr=original,
        start_new_session=True,  # Ctrl-C is not for it: it ends with this process
    )
    assert beside.stdin is not None
    os.dup2(beside.stdin.fileno(), 2)
    beside.stdin.close()
    sys.stderr = os.fdopen(original, "w", buffering=1, closefd=False)
    return original
