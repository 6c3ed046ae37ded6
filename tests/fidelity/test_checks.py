import numpy as np
import pytest

from ntkjax.fidelity.checks import check_finite


def test_the_array_and_the_place_are_named():
    bad = np.zeros((2, 3), np.float32)
    bad[1, 2] = np.inf
    with pytest.raises(ValueError, match=r"second has 1 .* of 6, .*\(1, 2\): inf"):
        check_finite(first=np.zeros(3), second=bad)
    check_finite(first=np.zeros(3))
