"""How many examples a backward pass takes side by side.

It keeps activations of every layer for all of them. On CPUs a few hundred tokens fill
the cores, and more do not fit their caches; accelerators want thousands. What comes out
does not depend on it but for the order of sums.
"""

import jax


_TOKENS = {"cpu": 512}
_TOKENS_ELSEWHERE = 4096


def backward_rows(rows: int, tokens: int, platform: str | None = None) -> int:
    """The most examples of `tokens` tokens that divide `rows` and are not too many.

    Args:
        rows: Examples that a device has at once.
        tokens: Their padded length.
        platform: JAX's name of the devices' kind; the default one's if it is None.

    >>> backward_rows(32, 128, "cpu"), backward_rows(6, 128, "cpu")
    (4, 3)
    >>> backward_rows(32, 1000, "cpu"), backward_rows(32, 128, "tpu")
    (1, 32)
    """
    limit = _TOKENS.get(platform or jax.default_backend(), _TOKENS_ELSEWHERE)
    most = max(1, min(rows, limit // max(1, tokens)))
    return next(size for size in range(most, 0, -1) if rows % size == 0)
