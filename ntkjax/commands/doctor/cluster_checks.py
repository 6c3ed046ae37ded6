"""Verdicts on what the processes of a cluster told each other."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ntkjax.commands.doctor.self_checks import Check
from ntkjax.commands.doctor.shared_folder import Sighting
from ntkjax.devices.mesh import parse_mesh
from ntkjax.errors import InputError
from ntkjax.runs.device_mesh import require_devices
from ntkjax.store.run_path import RunPath


MOST_SECONDS_APART = 5.0
"""Between clocks: more confuses logs and the certificates of remote storage."""

_MOST_NAMED = 4


@dataclass(frozen=True)
class Peer:
    """One process, as it tells of itself.

    Attributes:
        index: Its number.
        host: Its host.
        num_devices: Its own devices.
        kind: Of the devices.
        versions: Of what decides numbers.
        settings: What it was started with, which should be the same for all.
    """

    index: int
    host: str
    num_devices: int
    kind: str
    versions: Mapping[str, str]
    settings: Mapping[str, Any]

    def __str__(self) -> str:
        return f"process {self.index} (host {self.host})"

    @property
    def devices(self) -> str:
        """In words."""
        return f"{self.num_devices} × {self.kind}"


def check_processes(peers: Sequence[Peer]) -> Check:
    """How many there are: only the user knows whether that is all."""
    hosts = len({peer.host for peer in peers})
    detail = f"{len(peers)} on {hosts} host{'s' * (hosts > 1)}"
    if len(peers) == 1:
        detail += "; if you started more, they did not find each other"
    return Check("processes", True, detail, warns=len(peers) == 1)


def check_devices(peers: Sequence[Peer]) -> Check:
    """As many of one kind in every process: a mesh needs that."""
    detail = f"{peers[0].devices} in each process"
    return _alike("devices", peers, lambda peer: {"devices": peer.devices}, detail)


def check_versions(peers: Sequence[Peer]) -> Check:
    """The same software everywhere."""
    return _alike("versions", peers, lambda peer: peer.versions)


def check_settings(peers: Sequence[Peer]) -> Check:
    """The same flags, and variables that change numbers, everywhere."""
    return _alike("settings", peers, lambda peer: peer.settings)


def check_mesh(mesh: str, peers: Sequence[Peer]) -> Check | None:
    """Whether the devices are those of the mesh; None for auto."""
    shape = parse_mesh(mesh)
    if shape is None:
        return None
    total = sum(peer.num_devices for peer in peers)
    try:
        require_devices(mesh, shape, total, peers[0].num_devices)
    except InputError as error:
        return Check("mesh", False, f"{mesh}: {error.message}")
    return Check("mesh", True, f"{shape}, {total} devices")


def check_clocks(peers: Sequence[Peer], times: Sequence[float]) -> Check:
    """How far clocks, read at about the same moment, are apart; never a failure."""
    spread = max(times) - min(times)
    detail = f"at most {spread:.2f} s apart"
    if spread <= MOST_SECONDS_APART:
        return Check("clocks", True, detail)
    slow = peers[times.index(min(times))]
    fast = peers[times.index(max(times))]
    detail += f": {fast} is ahead of {slow}; set them by NTP"
    return Check("clocks", True, detail, warns=True)


def check_sum(peers: Sequence[Peer], sums: Sequence[int], seconds: float) -> Check:
    """Whether 1 + 2 + ... + n, a number from each device, is right in every process."""
    total = sum(peer.num_devices for peer in peers)
    expected = total * (total + 1) // 2
    pairs = zip(peers, sums, strict=True)
    wrong = [f"{peer} got {found}" for peer, found in pairs if found != expected]
    detail = f"1 + ... + {total} = {expected} in {1e3 * seconds:.2g} ms"
    if wrong:
        detail = f"1 + ... + {total} should be {expected}, but {_listed(wrong)}"
    return Check("sum over all devices", not wrong, detail)


def no_folder() -> Check:
    """What is said where no folder is given."""
    detail = "none is given, so nobody knows whether all processes see one"
    return Check("folder", True, detail, warns=True)


def check_folder(
    out: RunPath, peers: Sequence[Peer], sightings: Sequence[Sighting]
) -> Check:
    """Whether all processes write to one folder."""
    name = f"folder {out}"
    pairs = list(zip(peers, sightings, strict=True))
    mute = [f"{peer}: {seen.error}" for peer, seen in pairs if seen.error]
    if mute:
        return Check(name, False, f"cannot be written by {_listed(mute)}")
    apart = [
        str(peer) for peer, seen in pairs if not (seen.sees_first and seen.is_seen)
    ]
    if apart:
        return Check(
            name,
            False,
            f"not one file system: {peers[0]} and {_listed(apart)} do not see each "
            "other's files. Several processes need a folder that all see; without one "
            "start independent jobs of ntkjax select, each with its part of the "
            "shards, and join them with ntkjax merge",
        )
    return Check(name, True, "one file system, which all processes write and read")


def _alike(
    name: str,
    peers: Sequence[Peer],
    values: Callable[[Peer], Mapping[str, Any]],
    detail: str = "the same in all processes",
) -> Check:
    first, *others = peers
    expected = values(first)
    found = []
    for peer in others:
        own = values(peer)
        found += [
            f"{peer} has {key} {own.get(key)}, {first} {expected.get(key)}"
            for key in sorted(expected.keys() | own.keys())
            if own.get(key) != expected.get(key)
        ]
    return Check(name, not found, _listed(found) if found else detail)


def _listed(words: Sequence[str]) -> str:
    more = len(words) - _MOST_NAMED
    named = "; ".join(words[:_MOST_NAMED])
    return named + f"; and {more} more" * (more > 0)
