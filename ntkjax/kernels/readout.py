"""Where probes live: the readout matrix W whose columns are the vocabulary's outputs.

With a frozen linear head, outputs are Wᵀ h̄ and probes are vectors in R^d. Otherwise
the base outputs are the pooled logits themselves, W is the identity of R^V, and a
kernel that needs the spectrum of W Wᵀ has nothing to gain: it is refused with the
reason.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float

from ntkjax.errors import InputError
from ntkjax.models.language_model import LanguageModel
from ntkjax.notation import OutputFn
from ntkjax.outputs.pooled import PooledHidden, PooledLogits


# Above this the identity of R^V alone would take gigabytes, and the exact kernel V
# backward passes for each example.
_LARGEST_LOGIT_PATH = 16_384


@dataclass(frozen=True, eq=False)
class Readout:
    """The matrix W [c, V] of one base output function, with its spectrum.

    Attributes:
        matrix: W; column v is the probe of vocabulary entry v. c is d through the head.
        variant: Prefix of kernel names, empty or `centered`.
        obstacle: Why probes cannot live in R^d; None if they do.
    """

    matrix: Float[np.ndarray, "c V"]
    variant: str = ""
    obstacle: str | None = None

    @property
    def vocab_size(self) -> int:
        """V, padded rows of the head left out."""
        return self.matrix.shape[1]

    @cached_property
    def eigenpairs(self) -> tuple[Float[np.ndarray, " q"], Float[np.ndarray, "c q"]]:
        """Eigenvalues and vectors of W Wᵀ, largest first, zero ones left out.

        In float64 by `eigh`: a Cholesky factor fails on a rank-deficient head.

        Raises:
            InputError: If the head trick does not hold.
        """
        if self.obstacle:
            raise InputError(
                f"kernels from the head's spectrum are not exact here: {self.obstacle}."
            )
        wide = self.matrix.astype(np.float64)
        values, vectors = np.linalg.eigh(wide @ wide.T)
        values, vectors = values[::-1], vectors[:, ::-1]
        kept = values > values[0] * values.size * np.finfo(np.float64).eps
        return values[kept], vectors[:, kept]

    @cached_property
    def centered(self) -> "Readout":
        """The readout W − w̄ 1ᵀ: what softmax can feel, since it ignores 1."""
        mean = self.matrix.mean(axis=1, keepdims=True, dtype=np.float64)
        matrix = (self.matrix - mean).astype(self.matrix.dtype)
        return Readout(matrix, "centered", self.obstacle)


def read_readout(model: LanguageModel, vocab_size: int | None = None) -> Readout:
    """The readout of a language model, over the first `vocab_size` rows of its head.

    Raises:
        InputError: If θ has a leaf in the head and the vocabulary is too large for the
            full-logit path.
    """
    V = model.config.vocab_size if vocab_size is None else vocab_size
    if model.head_is_linear:
        return Readout(np.asarray(model.head[:, :V], dtype=np.float64))
    obstacle = "θ has a leaf in the head (lm_head is among --lora.targets)"
    if V > _LARGEST_LOGIT_PATH:
        raise InputError(
            f"{obstacle}, and the full-logit path needs {V} backward passes for each "
            f"example (at most {_LARGEST_LOGIT_PATH} are tried): leave lm_head out."
        )
    return Readout(np.eye(V, dtype=np.float32), obstacle=obstacle)


def readout_function(model: LanguageModel, readout: Readout) -> OutputFn:
    """The base output function that the probes of `readout` act on."""
    if readout.obstacle:
        return PooledLogits(model, readout.vocab_size)
    return PooledHidden(model)
