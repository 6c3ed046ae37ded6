"""Refusal of arrays that cannot be compared."""

import numpy as np


def check_finite(**arrays: np.ndarray) -> None:
    """Raises ValueError naming the first array with a NaN or infinity, and where."""
    for name, array in arrays.items():
        bad = np.argwhere(~np.isfinite(array))
        if len(bad):
            where = tuple(int(index) for index in bad[0])
            raise ValueError(
                f"{name} has {len(bad)} non-finite entries of {array.size}, "
                f"the first at {where}: {array[where]}."
            )
