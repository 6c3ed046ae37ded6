"""A kernel as a weighted sum over probe channels.

    k(x, y) = Σ_j w_j ⟨∇_θ p_jᵀ h̄(θ, x), ∇_θ p_jᵀ h̄(θ, y)⟩

Channels have labels, so that kernels computed together share what they have in common:
the top r eigenpairs of a spectral kernel are the first r channels of the exact one.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float


Label = tuple


@dataclass(frozen=True, eq=False)
class ProbeKernel:
    """Probe vectors, weights and labels of a named kernel.

    Attributes:
        name: As in result files, such as `spectral_4`.
        probes: p_j in the columns, [c, s].
        weights: w_j; 1/s for averages, -1/V where something is taken away.
        labels: What each channel is; equal labels mean equal probes.
    """

    name: str
    probes: Float[np.ndarray, "c s"]
    weights: Float[np.ndarray, " s"]
    labels: tuple[Label, ...]

    @property
    def num_outputs(self) -> int:
        """s: backward passes per example when this kernel is computed alone."""
        return self.probes.shape[1]

    @property
    def scaled_probes(self) -> Float[np.ndarray, "c s"]:
        """√w_j p_j: the same kernel with unit weights, for the three verbs.

        Raises:
            ValueError: If a weight is negative.
        """
        if (self.weights < 0).any():
            raise ValueError(
                f"kernel {self.name} has negative weights: sum its channels instead."
            )
        return self.probes * np.sqrt(self.weights)


def shared_channels(
    kernels: Sequence[ProbeKernel],
) -> tuple[Float[np.ndarray, "c s"], dict[str, Float[np.ndarray, " s"]]]:
    """Distinct channels of several kernels, and each kernel's weights on them.

    A kernel is then `weights @ channel_grams` along the channel axis.
    """
    column: dict[Label, Float[np.ndarray, " c"]] = {}
    for kernel in kernels:
        for label, probe in zip(kernel.labels, kernel.probes.T, strict=True):
            column.setdefault(label, probe)
    place = {label: index for index, label in enumerate(column)}
    weights = {}
    for kernel in kernels:
        weights[kernel.name] = np.zeros(len(place))
        for label, weight in zip(kernel.labels, kernel.weights, strict=True):
            weights[kernel.name][place[label]] += weight
    return np.stack(list(column.values()), axis=1), weights
