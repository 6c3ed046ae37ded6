import pytest

from ntkjax.errors import InputError
from ntkjax.planning.hardware import named_hardware
from ntkjax.planning.mesh import choose_mesh, possible_models
from tests.planning.problem import small_selection


V5E = named_hardware("v5e-16")


def chosen(mesh: str, fits) -> tuple[int, int]:
    selection = small_selection(mesh=mesh)
    return choose_mesh(selection, V5E, lambda data, model: (data, model), fits)


def test_auto_takes_the_first_that_fits():
    assert chosen("auto", lambda plan: True) == (16, 1)
    assert chosen("auto", lambda plan: plan[1] == 2) == (8, 2)
    assert chosen("auto", lambda plan: False) == (8, 2)  # 4 does not divide the heads


def test_a_mesh_that_is_given_is_taken():
    assert chosen("data=8,model=2", lambda plan: False) == (8, 2)


def test_a_mesh_divides_chips_and_model():
    with pytest.raises(InputError, match="8 devices, but v5e-16 has 16"):
        chosen("data=4,model=2", lambda plan: True)
    with pytest.raises(InputError, match="model=4 does not divide 4 heads"):
        chosen("data=4,model=4", lambda plan: True)


def test_models_divide_the_chips_and_the_model():
    assert possible_models(small_selection().cost, V5E) == [1, 2]
