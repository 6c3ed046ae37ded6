"""Versions, device and precision, for manifests and `ntkjax doctor`."""

import importlib.metadata
import os
import platform

import jax

from ntkjax.devices.precision import PRECISION


PACKAGES = (
    "ntkjax",
    "jax",
    "jaxlib",
    "flax",
    "optax",
    "orbax-checkpoint",
    "numpy",
    "scipy",
    "transformers",
)


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that decide numbers."""
    found = {"python": platform.python_version()}
    return found | {name: importlib.metadata.version(name) for name in PACKAGES}


def device() -> str:
    """The local devices in words, and the cores behind them where they are CPUs."""
    devices = jax.local_devices()
    kind, platform_name = devices[0].device_kind, devices[0].platform
    if platform_name == "cpu":
        cores = f"{os.cpu_count()} {platform.machine()} cores"
        return f"{len(devices)} × {kind} on {cores}"
    return f"{len(devices)} × {kind} ({platform_name})"


def precision() -> str:
    """Precision of matrix products in kernels and scores."""
    return f"{PRECISION} matrix products"
