"""Random-sign probes: tr Θ without bias (Hutchinson's estimator).

    k̂(x, y) = 1/s Σ_j ⟨∇ ε_jᵀf(x), ∇ ε_jᵀf(y)⟩,   ε_j ∈ {±1}^V,   E k̂ = tr Θ,

with the same draws at both inputs; one draw has variance
2 (‖sym Θ‖_F² − Σ_v Θ_vv²).
"""

import numpy as np

from ntkjax.errors import InputError
from ntkjax.kernels.probe_kernel import ProbeKernel
from ntkjax.kernels.readout import Readout


def random_signs(readout: Readout, num_probes: int, seed: int) -> ProbeKernel:
    """Mean over `num_probes` random-sign probes. Cost: F + s·B.

    The first probes of a larger kernel with the same seed are those of a smaller one.

    Raises:
        InputError: If there are no probes.
    """
    signs = draw_signs(readout.vocab_size, num_probes, seed)
    labels = tuple((readout.variant, "signs", seed, j) for j in range(num_probes))
    name = "_".join(filter(None, [readout.variant, "random", str(num_probes)]))
    weights = np.full(num_probes, 1 / num_probes)
    return ProbeKernel(name, readout.mixed(signs), weights, labels)


def random_probes(num_probes: int) -> int:
    """How many probes `random_signs` has; errors as there."""
    if num_probes < 1:
        raise InputError(f"a random-sign kernel needs a probe, got {num_probes}.")
    return num_probes


def draw_signs(vocab_size: int, num_probes: int, seed: int) -> np.ndarray:
    """Independent signs [V, s]; column j depends on the seed and j alone."""
    random_probes(num_probes)
    columns = [
        np.random.default_rng([seed, j]).integers(0, 2, vocab_size) * 2.0 - 1.0
        for j in range(num_probes)
    ]
    return np.stack(columns, axis=1)
