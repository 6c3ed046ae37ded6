"""What this machine's devices reach when all of them work: a moment's measurement."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from ntkjax.devices.precision import full_precision


_SIZE = 1024
_NUMBERS = 2**24
_TRIES = 5


def product_rate(devices: Sequence[Any]) -> float:
    """FLOPs per second of each device, multiplying float32 matrices."""
    matrix = jnp.ones((_SIZE, _SIZE), jnp.float32)

    @jax.jit
    def multiply(a):
        with full_precision():
            return a @ a

    return 2 * _SIZE**3 / _seconds(multiply, matrix, devices)


def copy_rate(devices: Sequence[Any]) -> float:
    """Bytes per second of each device, read and written."""
    numbers = jnp.ones(_NUMBERS, jnp.float32)
    return 2 * numbers.nbytes / _seconds(jax.jit(jnp.negative), numbers, devices)


def _seconds(
    function: Callable[[jax.Array], jax.Array],
    argument: jax.Array,
    devices: Sequence[Any],
) -> float:
    """The best of a few calls, all devices working at once."""
    arguments = [jax.device_put(argument, device) for device in devices]
    jax.block_until_ready([function(each) for each in arguments])  # compiles
    best = float("inf")
    for _ in range(_TRIES):
        started = time.perf_counter()
        jax.block_until_ready([function(each) for each in arguments])
        best = min(best, time.perf_counter() - started)
    return best
