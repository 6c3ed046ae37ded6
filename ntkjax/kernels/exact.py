"""The exact kernel: tr Θ over the whole vocabulary.

    tr Θ(x, y) = Σ_v w_vᵀ B w_v = tr(W Wᵀ B) = Σ_i λ_i e_iᵀ B e_i,

B = ∇h̄(x) ∇h̄(y)ᵀ [d, d] and λ_i, e_i the eigenpairs of W Wᵀ: min(d, V) probes
√λ_i e_i in place of V columns, the same number.
"""

import numpy as np

from ntkjax.kernels.probe_kernel import ProbeKernel
from ntkjax.kernels.readout import AnyReadout, Readout, check_columns


def exact(readout: Readout) -> ProbeKernel:
    """The trace tr Θ by as few probes as the readout allows. Cost: F + min(d, V)·B.

    Through the head where it is linear and frozen, else by all V logits.

    Raises:
        InputError: If these are too many.
    """
    name = readout.variant or "exact"
    if readout.matrix is None:
        return full_vocabulary(readout, name)
    values, vectors = readout.eigenpairs
    labels = tuple((readout.variant, "eigenpair", i) for i in range(values.size))
    return ProbeKernel(name, vectors * np.sqrt(values), np.ones(values.size), labels)


def exact_probes(readout: AnyReadout) -> int:
    """How many probes `exact` has; errors as there."""
    if readout.obstacle:
        return full_vocabulary_probes(readout)
    return readout.num_eigenpairs


def full_vocabulary(readout: Readout, name: str | None = None) -> ProbeKernel:
    """The trace tr Θ by one probe for each token: the definition. Cost: F + V·B.

    Raises:
        InputError: If there is no linear head and they are too many.
    """
    name = name or "_".join(filter(None, [readout.variant, "full_vocabulary"]))
    return chosen_tokens(readout, np.arange(readout.vocab_size), name)


def full_vocabulary_probes(readout: AnyReadout) -> int:
    """How many probes `full_vocabulary` has; errors as there."""
    check_columns(readout, readout.vocab_size)
    return readout.vocab_size


def chosen_tokens(
    readout: Readout, tokens: np.ndarray, name: str = "chosen_tokens"
) -> ProbeKernel:
    """The trace over given vocabulary entries, such as one-token labels.

    With `gram(outputs="full")` its channels give the c × c block of a pair of examples.

    Raises:
        ValueError: If a token id is outside the vocabulary or there is none.
    """
    V = readout.vocab_size
    if tokens.size == 0 or tokens.min() < 0 or tokens.max() >= V:
        raise ValueError(f"token ids must be in 0 … {V - 1}, got {tokens.tolist()}.")
    labels = tuple((readout.variant, "token", int(v)) for v in tokens)
    return ProbeKernel(name, readout.columns(tokens), np.ones(tokens.size), labels)


def centered(readout: Readout) -> ProbeKernel:
    """The exact kernel of the centered readout W − w̄ 1ᵀ.

    Its W Wᵀ differs by V w̄ w̄ᵀ, so it is the exact kernel less 1/V times the summed
    one: no derivative of its own beyond theirs.
    """
    whole = exact(readout)
    ones = readout.total
    return ProbeKernel(
        "centered",
        np.concatenate([whole.probes, ones], axis=1),
        np.append(whole.weights, -1 / readout.vocab_size),
        (*whole.labels, (readout.variant, "summed")),
    )


def centered_probes(readout: AnyReadout) -> int:
    """How many probes `centered` has; errors as of `exact`."""
    return exact_probes(readout) + 1
