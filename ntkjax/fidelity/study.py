"""Named kernels at queries × candidates, each measured against the exact one."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jax.sharding import Mesh
from jaxtyping import Int

from ntkjax.fidelity.compare import KernelFidelity, compare
from ntkjax.fidelity.measure import channel_grams
from ntkjax.gradients.gram import Sketch
from ntkjax.kernels.probe_kernel import ProbeKernel, shared_channels
from ntkjax.notation import Example, OutputFn, Theta


SKETCHED = ("summed", "exact")
"""The kernels whose sketched versions are kept."""


@dataclass(frozen=True, eq=False)
class KernelValues:
    """One kernel at the texts of a study.

    Attributes:
        values: K(x, y), [n, m].
        diagonal: K(x, x) of the queries, [n].
        num_outputs: s: backward passes per example when computed alone.
    """

    values: np.ndarray
    diagonal: np.ndarray
    num_outputs: int


def kernel_values(
    base: OutputFn,
    theta: Theta,
    queries: Example,
    candidates: Example,
    kernels: Sequence[ProbeKernel],
    sketches: Mapping[str, Sketch],
    *,
    mesh: Mesh,
    advance: Callable[[int], None] = lambda count: None,
) -> dict[str, KernelValues]:
    """The kernels by name; sketched ones are called `summed·shift_1024`.

    Cost: F + s·B per example for the s distinct channels of all kernels together.
    """
    probes, weights = shared_channels(kernels)
    inner_products = tuple(sketches.values())
    grams = channel_grams(
        base,
        theta,
        queries,
        candidates,
        probes,
        inner_products,
        mesh=mesh,
        advance=advance,
    )
    found = {}
    for index, sketch in enumerate(["", *sketches]):
        for kernel in kernels:
            if sketch and kernel.name not in SKETCHED:
                continue
            own_weights = weights[kernel.name]
            found[f"{kernel.name}·{sketch}" if sketch else kernel.name] = KernelValues(
                np.tensordot(own_weights, grams.cross[index], axes=1),
                own_weights @ grams.own[index],
                kernel.num_outputs,
            )
    return found


def against(
    exact: KernelValues,
    other: KernelValues,
    name: str,
    resamples: Int[np.ndarray, "r n"],
    top: int,
) -> KernelFidelity:
    """How far `other` is from `exact`; cost F + s·B is 1 + s forward passes."""
    return compare(
        name,
        1 + other.num_outputs,
        other.num_outputs,
        other.values,
        exact.values,
        other.diagonal,
        exact.diagonal,
        resamples,
        top,
    )
