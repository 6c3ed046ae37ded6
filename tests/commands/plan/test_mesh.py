from dataclasses import replace

import pytest

from ntkjax.commands.plan.costs.hardware import Hardware, named_hardware
from ntkjax.commands.plan.mesh import choose_mesh, possible_meshes
from ntkjax.errors import InputError
from ntkjax.runs.device_mesh import WEIGHTS_SHARE, automatic_mesh
from tests.commands.plan.problem import small_selection


V5E = named_hardware("v5e-16")


def chosen(mesh: str, hardware: Hardware = V5E, **changes) -> tuple[int, int]:
    return choose_mesh(small_selection(mesh=mesh, **changes), hardware)


def with_memory(memory: float) -> Hardware:
    """v5e-16 with so many bytes that may be used."""
    return replace(V5E, chip=replace(V5E.chip, memory=memory, usable=1.0))


def test_auto_is_that_of_select():
    assert chosen("auto") == (16, 1)
    selection = small_selection()
    cost = selection.cost
    weights = cost.num_weights * cost.bytes_each
    for share in (1.01, 0.99, 0.1):  # room for all weights, for a part, for none
        memory = share * weights / WEIGHTS_SHARE
        found = chosen("auto", with_memory(memory))
        assert found == automatic_mesh(cost.config, cost.bytes_each, 16, 4, memory)
        # 4 does not divide the heads
        assert found == ((16, 1) if share > 1 else (8, 2))
    cpu = named_hardware("cpu")  # where devices do not say what they have
    assert chosen("auto", replace(cpu, chip=replace(cpu.chip, memory=1.0))) == (2, 1)


def test_memory_that_is_given_counts():
    selection = small_selection()
    given = replace(selection.settings.devices, memory_per_device=1e-6)
    settings = replace(selection.settings, devices=given)
    assert choose_mesh(replace(selection, settings=settings), V5E) == (8, 2)


def test_a_mesh_that_is_given_is_taken():
    assert chosen("data=8,model=2") == (8, 2)


def test_a_mesh_divides_chips_hosts_and_model():
    with pytest.raises(InputError, match="8 devices, but v5e-16 has 16"):
        chosen("data=4,model=2")
    with pytest.raises(InputError, match="model=4 does not divide 4 heads"):
        chosen("data=4,model=4")
    with pytest.raises(InputError, match="each process has 4 devices; model= must"):
        chosen("data=4,model=3", named_hardware("v5e-12"))


def test_possible_meshes_divide_the_chips_and_the_model():
    assert possible_meshes(small_selection(), V5E) == [(16, 1), (8, 2)]
