import pytest

from ntkjax.commands.plan.costs.hardware import CHIPS, named_hardware
from ntkjax.errors import InputError


@pytest.mark.parametrize(
    ("name", "chips", "hosts"),
    [("v5e-16", 16, 4), ("v5p-128", 64, 16), ("v6e-64", 64, 16), ("h200x8", 8, 8)],
)
def test_names_say_how_many_chips(name, chips, hosts):
    found = named_hardware(name)
    assert (found.num_chips, found.num_hosts) == (chips, hosts)


def test_every_chip_names_its_sources():
    for chip in CHIPS.values():
        assert chip.sources
        assert all("https://" in source for source in chip.sources)
        assert chip.efficiency == 1 or "https://" in chip.efficiency_source


def test_memory_that_is_planned_with():
    """JAX takes three quarters of a GPU; a CPU tells nothing, unless the user does."""
    gpu, tpu, cpu = map(named_hardware, ("h100x8", "v5e-16", "cpu"))
    assert gpu.usable_memory == gpu.memory_for(None) == 60e9
    assert tpu.usable_memory == tpu.memory_for(None) == 0.9 * 16e9
    assert cpu.memory_for(None) is None
    for hardware in (gpu, tpu, cpu):
        assert hardware.memory_for(2.0) == 2**31
    assert (gpu.chips_each, tpu.chips_each) == (1, 4)
    assert named_hardware("v5e-1").chips_each == 1


def test_float32_takes_six_passes_on_a_tpu():
    chip = CHIPS["v5p"]
    assert chip.flops("float32") == chip.flops("bfloat16") / 6
    assert chip.flops("float16") == chip.flops("float32")
    gpu = CHIPS["h100"]
    assert gpu.flops("float16") == gpu.flops("bfloat16") > gpu.flops("float32")


def test_more_chips_have_their_own_name():
    assert named_hardware("v5p-128").resized(128).name == "v5p-256"
    assert named_hardware("h200x8").resized(16).name == "h200x16"


@pytest.mark.parametrize("name", ["v7-8", "v5e", "v5e-0", "h100-", "cpux2", ""])
def test_an_unknown_name_lists_the_known_ones(name):
    with pytest.raises(InputError, match="expected one of cpu, v5e-N, v5p-N") as caught:
        named_hardware(name)
    assert "\n" not in str(caught.value)


def test_half_a_chip_is_refused():
    with pytest.raises(InputError, match="counts TensorCores"):
        named_hardware("v5p-7")


def test_this_cpu_is_measured():
    found = named_hardware("cpu")
    assert found.num_chips == 2  # those of the suite
    assert found.num_hosts == 1
    assert found.chip.is_measured
    assert found.chip.memory > 1e8
    assert 1e8 < found.chip.single_flops < 1e14
