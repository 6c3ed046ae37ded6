"""The deflated kernel: the top r eigenpairs exactly, random signs on the remainder.

    k̂ = Σ_{i ≤ r} λ_i e_iᵀ B e_i + 1/s Σ_j ⟨∇ q_jᵀh̄(x), ∇ q_jᵀh̄(y)⟩,
    q_j = (I − E_r E_rᵀ) W ε_j,   E k̂ = tr Θ

(the idea of Hutch++, arXiv 2010.09649). Far less variance than signs alone, since the
shared direction of a head's rows sits in the first eigenpairs.
"""

import numpy as np

from ntkjax.kernels.probe_kernel import ProbeKernel
from ntkjax.kernels.random_signs import draw_signs, random_probes
from ntkjax.kernels.readout import AnyReadout, Readout
from ntkjax.kernels.spectral import spectral, spectral_probes


def deflated(readout: Readout, rank: int, num_probes: int, seed: int) -> ProbeKernel:
    """`rank` eigenpairs and `num_probes` probes. Cost: F + (r + s)·B.

    Raises:
        InputError: As `spectral` and `random_signs` do.
    """
    top = spectral(readout, rank)
    signs = draw_signs(readout.vocab_size, num_probes, seed)
    vectors = readout.eigenpairs[1][:, :rank]
    probes = readout.mixed(signs)
    rest = probes - vectors @ (vectors.T @ probes)
    variant = readout.variant
    name = "_".join(filter(None, [variant, "deflated", str(rank), str(num_probes)]))
    return ProbeKernel(
        name,
        np.concatenate([top.probes, rest], axis=1),
        np.concatenate([top.weights, np.full(num_probes, 1 / num_probes)]),
        top.labels + tuple((variant, "rest", rank, seed, j) for j in range(num_probes)),
    )


def deflated_probes(readout: AnyReadout, rank: int, num_probes: int) -> int:
    """How many probes `deflated` has; errors as there."""
    return spectral_probes(readout, rank) + random_probes(num_probes)
