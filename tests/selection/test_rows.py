import numpy as np
import pytest

from ntkjax.selection.rows import rows_at, unit_rows


@pytest.mark.parametrize("positions", [[], [8], [7, 0, 5, 0, 4]])
@pytest.mark.parametrize("size", [1, 4, 9])
def test_rows_come_in_the_order_asked(positions, size):
    matrix = np.arange(27, dtype=np.float32).reshape(9, 3)
    tiles = (matrix[start : start + size] for start in range(0, 9, size))
    found = rows_at(tiles, np.array(positions, np.int64))
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, matrix[positions])


def test_unit_rows():
    rows = np.array([[3, 4], [0, 0], [1e-30, 0], [0, -1e30]], np.float32)
    expected = [[0.6, 0.8], [0, 0], [1, 0], [0, -1]]
    found = unit_rows(rows)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, expected, rtol=1e-15)
