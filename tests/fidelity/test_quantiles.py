import numpy as np

from ntkjax.fidelity.quantiles import Quantiles, quantiles


def test_grid():
    grid = np.arange(101.0).reshape(1, 101)
    assert quantiles(grid) == Quantiles(5.0, 25.0, 50.0, 75.0, 95.0)
