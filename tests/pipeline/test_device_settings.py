import dataclasses

import pytest

from ntkjax.errors import InputError
from ntkjax.pipeline.device_settings import DeviceOptions, check_device_options
from tests.pipeline.test_template_settings import ALL


WITH_A_MODEL = ("fidelity", "select", "train", "evaluate")


@pytest.mark.parametrize("command", WITH_A_MODEL)
def test_every_command_with_a_model_has_them(command):
    settings, check = ALL[command]
    assert settings.devices == DeviceOptions()
    check(dataclasses.replace(settings, devices=DeviceOptions("data=4,model=2", 0.5)))
    with pytest.raises(InputError, match="--mesh x=2: expected auto, or devices"):
        check(dataclasses.replace(settings, devices=DeviceOptions("x=2")))


@pytest.mark.parametrize("memory", [0.0, -1.0, float("nan"), float("inf")])
def test_no_such_memory(memory):
    with pytest.raises(InputError, match=f"--memory-per-device {memory}: expected GiB"):
        check_device_options(DeviceOptions(memory_per_device=memory))
