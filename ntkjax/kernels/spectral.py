"""The spectral kernel: the part of tr Θ seen through the best rank-r part of W Wᵀ.

    k(x, y) = Σ_{i ≤ r} λ_i e_iᵀ B e_i      (B as in `ntkjax.kernels.exact`)

No randomness, and never more than tr Θ on the diagonal.
"""

import numpy as np

from ntkjax.errors import InputError
from ntkjax.kernels.exact import exact
from ntkjax.kernels.probe_kernel import ProbeKernel
from ntkjax.kernels.readout import AnyReadout, Readout


def spectral(readout: Readout, rank: int) -> ProbeKernel:
    """The top `rank` eigenpairs of W Wᵀ. Cost: F + r·B.

    Raises:
        InputError: If the head has fewer eigenpairs, or the head trick does not hold.
    """
    spectral_probes(readout, rank)
    whole = exact(readout)
    name = "_".join(filter(None, [readout.variant, "spectral", str(rank)]))
    return ProbeKernel(name, whole.probes[:, :rank], np.ones(rank), whole.labels[:rank])


def spectral_probes(readout: AnyReadout, rank: int) -> int:
    """How many probes `spectral` has; errors as there."""
    available = readout.num_eigenpairs
    if not 1 <= rank <= available:
        raise InputError(
            f"a spectral kernel of rank {rank} was asked for, but this head has "
            f"{available} eigenpairs: choose 1 to {available}."
        )
    return rank
