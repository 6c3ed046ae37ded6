"""How much a device computes side by side, where nobody says it.

On CPUs a few hundred tokens fill the cores, and more do not fit their caches;
accelerators want thousands. What comes out does not depend on it but for the order of
sums.
"""

import jax


_TOKENS = {"cpu": 512}
_TOKENS_ELSEWHERE = 2048
_PROGRAM_TOKENS_ON_CPU = 2048
_PROGRAM_TOKENS = 2**17


def tokens_at_once(platform: str | None = None) -> int:
    """Tokens that fill one device, padding included.

    Args:
        platform: JAX's name of the devices' kind; the default one's if it is None.
    """
    return _TOKENS.get(platform or jax.default_backend(), _TOKENS_ELSEWHERE)


def program_tokens(groups: int, platform: str | None = None) -> int:
    """Tokens that are computed, about, while one more program is compiled.

    Args:
        groups: Data groups that compute at the same time; those on CPUs share cores.
        platform: JAX's name of the devices' kind; the default one's if it is None.
    """
    is_cpu = (platform or jax.default_backend()) == "cpu"
    return _PROGRAM_TOKENS_ON_CPU if is_cpu else groups * _PROGRAM_TOKENS


def backward_rows(rows: int, tokens: int, platform: str | None = None) -> int:
    """The most examples of a backward pass that divide `rows` and are not too many.

    It keeps activations of every layer for all of them.

    Args:
        rows: Examples that a device has at once.
        tokens: Their padded length.
        platform: JAX's name of the devices' kind; the default one's if it is None.

    >>> backward_rows(32, 128, "cpu"), backward_rows(6, 128, "cpu")
    (4, 3)
    >>> backward_rows(32, 1000, "cpu"), backward_rows(32, 128, "tpu")
    (1, 16)
    """
    most = max(1, min(rows, tokens_at_once(platform) // max(1, tokens)))
    return next(size for size in range(most, 0, -1) if rows % size == 0)
