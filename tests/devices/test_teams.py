"""A team of one process; of several: tests/commands/test_several_processes.py."""

from types import SimpleNamespace

import jax
import numpy as np
import pytest

from ntkjax.devices import teams
from ntkjax.devices.mesh import data_mesh
from ntkjax.devices.teams import Team


def test_alone():
    team = Team(data_mesh())
    assert team.members == [0]
    assert team.part == (1, 1)
    assert team.leads
    values = np.array([3, 1], np.int32)
    assert np.array_equal(team.agree(values), values)
    assert team.agrees(True)
    assert not team.agrees(False)


@pytest.mark.parametrize(
    ("owners", "own", "part", "leads"),
    [
        ([0, 0], 0, (1, 6), True),
        ([4, 4], 4, (5, 6), True),
        ([2, 2, 3, 3], 2, (2, 3), True),
        ([2, 2, 3, 3], 3, (2, 3), False),
        ([3, 4, 5], 5, (2, 2), False),
    ],
)
def test_parts_of_six_processes(monkeypatch, owners, own, part, leads):
    """Teams of one, two and three processes."""
    devices = np.array([SimpleNamespace(process_index=i) for i in owners])
    team = Team.__new__(Team)
    object.__setattr__(team, "mesh", SimpleNamespace(devices=devices))
    stand_in = SimpleNamespace(process_index=lambda: own, process_count=lambda: 6)
    monkeypatch.setattr(teams, "jax", stand_in)
    assert (team.part, team.leads) == (part, leads)
    assert jax.process_count() == 1
