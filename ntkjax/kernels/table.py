"""Kernels by name, such as `exact`, `spectral_4` or `centered_deflated_4_12`."""

import re
import sys
from collections.abc import Callable
from dataclasses import dataclass

from ntkjax.errors import InputError
from ntkjax.kernels.deflated import deflated, deflated_probes
from ntkjax.kernels.exact import (
    centered,
    centered_probes,
    exact,
    exact_probes,
    full_vocabulary,
    full_vocabulary_probes,
)
from ntkjax.kernels.probe_kernel import ProbeKernel
from ntkjax.kernels.random_signs import random_probes, random_signs
from ntkjax.kernels.readout import AnyReadout, Readout, UnreadReadout
from ntkjax.kernels.spectral import spectral, spectral_probes
from ntkjax.kernels.summed import summed, summed_probes


@dataclass(frozen=True)
class Kernel:
    """One kind of kernel.

    Attributes:
        name: How its names begin.
        numbers: What follows, such as `_RANK_PROBES`.
        summary: One line for `--help`.
        make: Readout, seed and these numbers to the kernel.
        probes: Readout, read or not, and the numbers to how many probes it has; what
            it is refused for raises `InputError`.
    """

    name: str
    numbers: str
    summary: str
    make: Callable[..., ProbeKernel]
    probes: Callable[..., int]


KERNELS = {
    kernel.name: kernel
    for kernel in (
        Kernel(
            "exact",
            "",
            "the trace over the whole vocabulary",
            lambda readout, seed: exact(readout),
            exact_probes,
        ),
        Kernel(
            "full_vocabulary",
            "",
            "the same by its definition, one probe for each token",
            lambda readout, seed: full_vocabulary(readout),
            full_vocabulary_probes,
        ),
        Kernel(
            "summed",
            "",
            "the gradient of the sum of all logits; one probe, biased",
            lambda readout, seed: summed(readout),
            summed_probes,
        ),
        Kernel(
            "spectral",
            "_RANK",
            "the top eigenpairs of the head; no randomness",
            lambda readout, seed, rank: spectral(readout, rank),
            spectral_probes,
        ),
        Kernel(
            "random",
            "_PROBES",
            "probes of random signs; unbiased",
            lambda readout, seed, number: random_signs(readout, number, seed),
            lambda readout, number: random_probes(number),
        ),
        Kernel(
            "deflated",
            "_RANK_PROBES",
            "the top eigenpairs, and random signs for the rest; unbiased",
            lambda readout, seed, rank, number: deflated(readout, rank, number, seed),
            deflated_probes,
        ),
        Kernel(
            "centered",
            "",
            "the exact kernel of the centered head, as softmax sees it",
            lambda readout, seed: centered(readout),
            centered_probes,
        ),
    )
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


def kernel_summaries() -> list[tuple[str, str]]:
    """How each kind of kernel is called, and its line for `--help`."""
    return [(row.name + row.numbers, row.summary) for row in KERNELS.values()]


def possible_kernels(readout: Readout) -> tuple[str, ...]:
    """The default kernels that this readout allows."""

    def possible(name: str) -> bool:
        try:
            return num_probes(name, readout) > 0
        except InputError:
            return False

    return tuple(filter(possible, DEFAULT_KERNELS))


def named_kernel(name: str, readout: Readout, seed: int) -> ProbeKernel:
    """The kernel of that name; `centered_` in front centers the readout.

    Raises:
        InputError: If there is no such kernel, or it is not possible for the readout.
    """
    kernel, is_centered, numbers = _parsed(name)
    return kernel.make(readout.centered if is_centered else readout, seed, *numbers)


def num_probes(name: str, readout: AnyReadout) -> int:
    """How many probes the kernel of that name has; the readout may be unread.

    Raises:
        InputError: As `named_kernel`.
    """
    kernel, is_centered, numbers = _parsed(name)
    return kernel.probes(readout.centered if is_centered else readout, *numbers)


def check_kernel(name: str, field: str) -> None:
    """Refuses a name that is that of no kernel, or of one that no model can have.

    Args:
        name: Of the kernel.
        field: The setting that it is, for messages.

    Raises:
        InputError: If it is.
    """
    largest = UnreadReadout(sys.maxsize, sys.maxsize, obstacle=None)
    try:
        num_probes(name, largest)
    except InputError as error:
        raise InputError(error.message, field=field, value=name) from error


def _parsed(name: str) -> tuple[Kernel, bool, list[int]]:
    """Row, whether the readout is to be centered, and the numbers of the name."""
    if name == "centered_exact":
        raise InputError("centered_exact is called centered.")
    plain = name.removeprefix("centered_")
    parsed = re.fullmatch(r"([a-z_]*[a-z])((?:_\d+)*)", plain)
    base = parsed[1] if parsed else ""
    numbers = parsed[2].split("_")[1:] if parsed else []
    kernel = KERNELS.get(base)
    if (
        kernel is None
        or len(numbers) != kernel.numbers.count("_")
        or name == "centered_centered"
    ):
        known = ", ".join(row.name + row.numbers for row in KERNELS.values())
        raise InputError(
            f"no kernel {name!r}; there are {known}, and centered_ before "
            "any of them but summed."
        )
    if any(int(number) < 1 for number in numbers):
        raise InputError(f"expected numbers of at least 1 in {name}.")
    return kernel, name != plain, [int(number) for number in numbers]
