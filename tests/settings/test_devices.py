import dataclasses

import pytest

from ntkjax.devices.processes import Meeting
from ntkjax.errors import InputError
from ntkjax.settings.devices import (
    DeviceOptions,
    check_device_options,
    meeting_of,
)
from tests.settings.test_template import ALL


WITH_A_MODEL = ("fidelity", "select", "train", "evaluate")


@pytest.mark.parametrize("command", WITH_A_MODEL)
def test_every_command_with_a_model_has_them(command):
    settings, check = ALL[command]
    assert settings.devices == DeviceOptions()
    check(dataclasses.replace(settings, devices=DeviceOptions("data=4,model=2", 0.5)))
    with pytest.raises(InputError, match="mesh x=2: expected auto, or devices"):
        check(dataclasses.replace(settings, devices=DeviceOptions("x=2")))


@pytest.mark.parametrize("memory", [0.0, -1.0, float("nan"), float("inf")])
def test_no_such_memory(memory):
    with pytest.raises(InputError, match=f"memory_per_device {memory}: expected GiB"):
        check_device_options(DeviceOptions(memory_per_device=memory))


MET = {"coordinator_address": "host:8476", "num_processes": 4, "process_id": 3}


def test_the_flags_say_where_processes_meet():
    options = DeviceOptions(**MET)
    check_device_options(options)
    assert meeting_of(options) == Meeting("host:8476", 4, 3, 300, 100)


def test_alone_and_in_a_cluster(monkeypatch):
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    monkeypatch.delenv("SLURM_STEP_NODELIST", raising=False)
    assert meeting_of(DeviceOptions()) is None
    monkeypatch.setenv("SLURM_STEP_NODELIST", "a")
    assert meeting_of(DeviceOptions()) == Meeting(None, None, None, 300, 100)
    assert meeting_of(DeviceOptions(distributed="off")) is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"process_id": 4}, "process_id 4: expected 0 to 3, below num_pro"),
        ({"process_id": -1}, "process_id -1: expected 0 to 3, below num_pr"),
        ({"process_id": None}, "process_id is missing: give all three, or none"),
        ({"num_processes": None}, "num_processes is missing"),
        ({"num_processes": 0}, "num_processes 0: expected at least 1"),
        ({"coordinator_address": None}, "coordinator_address is missing"),
        ({"coordinator_address": "host"}, "coordinator_address host: expected HOST:"),
        ({"distributed": "off"}, "distributed off: leave out what tells of other"),
        ({"distributed": "on"}, "distributed on: expected one of auto, off"),
        ({"heartbeat_timeout": 0}, "heartbeat_timeout 0: expected at least 1 second"),
        ({"initialization_timeout": -5}, "initialization_timeout -5: expected at"),
    ],
)
def test_no_such_meeting(changes, message):
    with pytest.raises(InputError, match=message):
        check_device_options(DeviceOptions(**(MET | changes)))
