"""Where probes live: the readout matrix W whose columns are the vocabulary's outputs.

With a frozen linear head, outputs are Wᵀ h̄ and probes are vectors in R^d. Otherwise
(a soft-cap on the logits, θ in the head) the base outputs are the pooled logits
themselves and W is the identity of R^V, which is never formed. A kernel that needs the
spectrum of W Wᵀ then has nothing to gain: it is refused with the reason.

How many probes a kernel has, and what it is refused for, can be said without weights:
from an `UnreadReadout`.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from jaxtyping import Float, Int

from ntkjax.devices.mesh import readable
from ntkjax.errors import InputError
from ntkjax.models.language_model import LanguageModel
from ntkjax.notation import OutputFn
from ntkjax.outputs.pooled import PooledHidden, PooledLogits


# Above this the full-logit path has too many backward passes for each example.
_MOST_LOGITS = 16_384


@dataclass(frozen=True, eq=False)
class Readout:
    """The matrix W [c, V] of one base output function, with its spectrum.

    Attributes:
        matrix: W; column v is the probe of vocabulary entry v. c is d through the head.
            None stands for the identity of R^V.
        vocab_size: V, padded rows of the head left out.
        variant: Prefix of kernel names, empty or `centered`.
        obstacle: Why probes cannot live in R^d; None if they do.
    """

    matrix: Float[np.ndarray, "c V"] | None
    vocab_size: int
    variant: str = ""
    obstacle: str | None = None

    def mixed(self, coefficients: Float[np.ndarray, "V s"]) -> Float[np.ndarray, "c s"]:
        """Probes that are sums of columns: W times the coefficients."""
        if self.matrix is not None:
            return self.matrix @ coefficients
        if self.variant:  # (I − 1 1ᵀ/V) a = a less its mean
            coefficients = coefficients - coefficients.mean(axis=0)
        return coefficients

    def columns(self, tokens: Int[np.ndarray, " s"]) -> Float[np.ndarray, "c s"]:
        """Columns of W: the probes of vocabulary entries.

        Raises:
            InputError: If they are too many for the full-logit path.
        """
        if self.matrix is not None:
            return self.matrix[:, tokens]
        check_columns(self, tokens.size)
        single = np.zeros((self.vocab_size, tokens.size), np.float32)
        single[tokens, np.arange(tokens.size)] = 1
        return self.mixed(single)

    @property
    def total(self) -> Float[np.ndarray, "c 1"]:
        """W·1, the sum of all columns."""
        if self.matrix is not None:
            return self.matrix.sum(axis=1, keepdims=True)
        return self.mixed(np.ones((self.vocab_size, 1), np.float32))

    @cached_property
    def eigenpairs(self) -> tuple[Float[np.ndarray, " q"], Float[np.ndarray, "c q"]]:
        """Eigenvalues and vectors of W Wᵀ, largest first, zero ones left out.

        In float64 by `eigh`: a Cholesky factor fails on a rank-deficient head.

        Raises:
            InputError: If the head trick does not hold.
        """
        if self.matrix is None:
            raise _no_spectrum(self.obstacle)
        wide = self.matrix.astype(np.float64)
        values, vectors = np.linalg.eigh(wide @ wide.T)
        values, vectors = values[::-1], vectors[:, ::-1]
        kept = values > values[0] * values.size * np.finfo(np.float64).eps
        return values[kept], vectors[:, kept]

    @property
    def num_eigenpairs(self) -> int:
        """How many there are. Errors: `eigenpairs`."""
        return self.eigenpairs[0].size

    @cached_property
    def centered(self) -> "Readout":
        """The readout W − w̄ 1ᵀ: what softmax can feel, since it ignores 1."""
        matrix = self.matrix
        if matrix is not None:
            mean = matrix.mean(axis=1, keepdims=True, dtype=np.float64)
            matrix = (matrix - mean).astype(matrix.dtype)
        return replace(self, matrix=matrix, variant="centered")


@dataclass(frozen=True)
class UnreadReadout:
    """A readout of which no weight was read: enough to count probes.

    Attributes:
        hidden_size: d.
        vocab_size: As that of `Readout`, like the rest.
        obstacle: See there.
        variant: See there.
    """

    hidden_size: int
    vocab_size: int
    obstacle: str | None
    variant: str = ""

    @property
    def num_eigenpairs(self) -> int:
        """Of a head of full rank; centering takes one direction of the vocabulary.

        Raises:
            InputError: If the head trick does not hold.
        """
        if self.obstacle:
            raise _no_spectrum(self.obstacle)
        return min(self.hidden_size, self.vocab_size - bool(self.variant))

    @property
    def centered(self) -> "UnreadReadout":
        """The centered one."""
        return replace(self, variant="centered")


AnyReadout = Readout | UnreadReadout


def check_columns(readout: AnyReadout, number: int) -> None:
    """Raises `InputError` if so many columns are too many for the full-logit path."""
    if readout.obstacle and number > _MOST_LOGITS:
        raise InputError(
            f"{readout.obstacle}, so this kernel needs {number} backward passes for "
            f"each example (at most {_MOST_LOGITS} are tried); select can take the "
            "kernel summed or random_N, but fidelity needs the exact one."
        )


def _no_spectrum(obstacle: str | None) -> InputError:
    return InputError(
        f"kernels from the head's spectrum are not exact here: {obstacle}."
    )


def read_readout(model: LanguageModel, vocab_size: int | None = None) -> Readout:
    """The readout of a language model, over the first `vocab_size` rows of its head."""
    V = model.config.vocab_size if vocab_size is None else vocab_size
    obstacle = model.head_obstacle
    if obstacle:
        return Readout(None, V, obstacle=obstacle)
    return Readout(np.asarray(readable(model.head[:, :V]), dtype=np.float64), V)


def readout_function(model: LanguageModel, readout: Readout) -> OutputFn:
    """The base output function that the probes of `readout` act on."""
    if readout.matrix is None:
        return PooledLogits(model, readout.vocab_size)
    return PooledHidden(model)
