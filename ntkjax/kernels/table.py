"""Kernels by name, such as `exact`, `spectral_4` or `centered_deflated_4_12`."""

import re
from collections.abc import Callable

from ntkjax.errors import InputError
from ntkjax.kernels.deflated import deflated
from ntkjax.kernels.exact import centered, exact, full_vocabulary
from ntkjax.kernels.probe_kernel import ProbeKernel
from ntkjax.kernels.random_signs import random_signs
from ntkjax.kernels.readout import Readout
from ntkjax.kernels.spectral import spectral
from ntkjax.kernels.summed import summed


# name -> (how many numbers follow it, what they mean, how to make it)
_MAKERS: dict[str, tuple[int, str, Callable[..., ProbeKernel]]] = {
    "exact": (0, "", lambda readout, seed: exact(readout)),
    "full_vocabulary": (0, "", lambda readout, seed: full_vocabulary(readout)),
    "summed": (0, "", lambda readout, seed: summed(readout)),
    "spectral": (1, "_RANK", lambda readout, seed, r: spectral(readout, r)),
    "random": (1, "_PROBES", lambda readout, seed, s: random_signs(readout, s, seed)),
    "deflated": (
        2,
        "_RANK_PROBES",
        lambda readout, seed, r, s: deflated(readout, r, s, seed),
    ),
}

DEFAULT_KERNELS = (
    "summed",
    "centered",
    "spectral_1",
    "spectral_4",
    "spectral_16",
    "random_1",
    "random_16",
    "deflated_4_12",
)


def possible_kernels(readout: Readout) -> tuple[str, ...]:
    """The default kernels that this readout allows."""

    def possible(name: str) -> bool:
        if not name.startswith(("spectral", "deflated")):
            return True
        rank = int(name.split("_")[1])
        return not readout.obstacle and rank <= readout.eigenpairs[0].size

    return tuple(filter(possible, DEFAULT_KERNELS))


def named_kernel(name: str, readout: Readout, seed: int) -> ProbeKernel:
    """The kernel of that name; `centered_` in front centers the readout.

    Raises:
        InputError: If there is no such kernel, or it is not possible for the readout.
    """
    if name == "centered":
        return centered(readout)
    if name == "centered_exact":
        raise InputError("--kernels: centered_exact is called centered.")
    plain = name.removeprefix("centered_")
    parsed = re.fullmatch(r"([a-z_]*[a-z])((?:_\d+)*)", plain)
    base = parsed[1] if parsed else ""
    numbers = parsed[2].split("_")[1:] if parsed else []
    if base not in _MAKERS or len(numbers) != _MAKERS[base][0]:
        known = ", ".join(base + form for base, (_, form, _) in _MAKERS.items())
        raise InputError(
            f"--kernels: no kernel {name!r}; there are {known}, centered, and "
            "centered_ before any of them but summed."
        )
    chosen = readout.centered if name != plain else readout
    return _MAKERS[base][2](chosen, seed, *map(int, numbers))
