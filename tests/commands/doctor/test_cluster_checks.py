import dataclasses
from pathlib import Path

import pytest

from ntkjax.commands.doctor.cluster_checks import (
    Peer,
    check_clocks,
    check_devices,
    check_folder,
    check_mesh,
    check_processes,
    check_settings,
    check_sum,
    check_versions,
    no_folder,
)
from ntkjax.commands.doctor.shared_folder import Sighting


OUT = Path("/runs/select")


def peers(count: int = 3, **changes) -> list[Peer]:
    """Processes that agree, but for changes of number 1."""
    versions = {"jax": "0.10.1", "python": "3.11.4"}
    made = [
        Peer(index, f"host{index // 2}", 4, "TPU v5 lite", versions, {"mesh": "auto"})
        for index in range(count)
    ]
    made[1:2] = [dataclasses.replace(peer, **changes) for peer in made[1:2]]
    return made


def test_processes_are_counted():
    check = check_processes(peers())
    assert check.passed
    assert not check.warns
    assert check.detail == "3 on 2 hosts"
    assert check_processes(peers(2)).detail == "2 on 1 host"


def test_one_process_warns():
    check = check_processes(peers(1))
    assert check.passed
    assert check.warns
    assert "if you started more, they did not find each other" in check.detail


@pytest.mark.parametrize("check", [check_devices, check_versions, check_settings])
@pytest.mark.parametrize("count", [1, 3])
def test_processes_that_agree_pass(check, count):
    assert check(peers(count)).passed


def test_uneven_devices():
    check = check_devices(peers(num_devices=3))
    assert not check.passed
    assert check.detail == (
        "process 1 (host host0) has devices 3 × TPU v5 lite, process 0 (host host0) "
        "4 × TPU v5 lite"
    )
    assert not check_devices(peers(kind="cpu")).passed
    assert check_devices(peers()).detail == "4 × TPU v5 lite in each process"


def test_other_versions():
    check = check_versions(peers(versions={"jax": "0.10.0", "numpy": "2"}))
    assert not check.passed
    assert check.detail.split("; ") == [
        "process 1 (host host0) has jax 0.10.0, process 0 (host host0) 0.10.1",
        "process 1 (host host0) has numpy 2, process 0 (host host0) None",
        "process 1 (host host0) has python None, process 0 (host host0) 3.11.4",
    ]


def test_other_settings():
    check = check_settings(peers(settings={"mesh": "data=12,model=1"}))
    assert not check.passed
    assert "process 1 (host host0) has mesh data=12,model=1" in check.detail


def test_a_long_list_is_cut():
    many = peers(300)
    others = [dataclasses.replace(peer, versions={}) for peer in many[1:]]
    detail = check_versions(many[:1] + others).detail
    assert detail.count("process 0") == 4
    assert detail.endswith("; and 594 more")


@pytest.mark.parametrize(
    ("mesh", "passed"),
    [
        ("data=12,model=1", True),
        ("data=3,model=4", True),
        ("data=6,model=2", True),
        ("data=4,model=4", False),  # 16 devices
        ("data=4,model=3", False),  # across processes, and no multiple of 4
    ],
)
def test_mesh(mesh, passed):
    check = check_mesh(mesh, peers())
    assert check is not None
    assert check.passed is passed
    assert mesh in check.detail


def test_an_automatic_mesh_is_no_check():
    assert check_mesh("auto", peers()) is None


@pytest.mark.parametrize(("late", "warns"), [(0.0, False), (4.9, False), (5.1, True)])
def test_clocks(late, warns):
    check = check_clocks(peers(), [100.0, 100.0 + late, 100.0])
    assert check.passed
    assert check.warns is warns
    assert check.detail.startswith(f"at most {late:.2f} s apart")
    named = "process 1 (host host0) is ahead of process 0 (host host0)"
    assert (named in check.detail) is warns


def test_sum():
    assert check_sum(peers(), [78, 78, 78], 0.002).detail == "1 + ... + 12 = 78 in 2 ms"
    check = check_sum(peers(), [78, 78, 66], 0.002)
    assert not check.passed
    assert check.detail == (
        "1 + ... + 12 should be 78, but process 2 (host host1) got 66"
    )


GOOD = Sighting("", True, True)


def test_one_folder():
    check = check_folder(OUT, peers(), [GOOD] * 3)
    assert check.passed
    assert check.name == "folder /runs/select"


@pytest.mark.parametrize(
    "sighting",
    [Sighting("", False, False), Sighting("", True, False), Sighting("", False, True)],
)
def test_separate_folders(sighting):
    check = check_folder(OUT, peers(), [GOOD, GOOD, sighting])
    assert not check.passed
    assert "process 0 (host host0) and process 2 (host host1) do not see" in (
        check.detail
    )
    assert "process 1" not in check.detail
    assert "each with its part of the shards" in check.detail
    assert "ntkjax merge" in check.detail


@pytest.mark.parametrize("index", [0, 2])
def test_a_folder_that_cannot_be_written(index):
    sightings = [GOOD] * 3
    sightings[index] = Sighting("Permission denied", index == 2, index == 0)
    check = check_folder(OUT, peers(), sightings)
    assert not check.passed
    host = f"host{index // 2}"
    assert check.detail == (
        f"cannot be written by process {index} (host {host}): Permission denied"
    )


def test_no_folder_warns():
    assert no_folder().passed
    assert no_folder().warns
