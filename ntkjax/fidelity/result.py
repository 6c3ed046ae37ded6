"""What `ntkjax fidelity` found: the content of `fidelity.json`."""

from dataclasses import dataclass

from ntkjax.fidelity.compare import KernelFidelity
from ntkjax.fidelity.cosines import OutputCosines
from ntkjax.models.coverage import Coverage


@dataclass(frozen=True)
class NumCut:
    """Texts that were cut to length, of either side."""

    queries: int
    candidates: int


@dataclass(frozen=True, kw_only=True)
class FidelityResult:
    """Approximate kernels against the exact one.

    Attributes:
        schema: Of the file; see `ntkjax.store.results`.
        model: As the user called it.
        adapter: Its folder; None for a new one.
        compare_adapter: Another adapter's folder.
        queries: The files, joined by commas.
        candidates: The files, joined by commas.
        num_queries: n.
        num_candidates: m.
        num_cut: Texts that were cut to length.
        max_length: Tokens of a text at most.
        pooling: What h̄ averages.
        seed: Of everything that is drawn.
        top: N of the top-N overlap.
        chance_overlap: What two unrelated orders share.
        num_parameters: P.
        coverage: Which modules carry θ.
        vocab_size: V, without padding.
        padded_rows: Rows of the head beyond it, which are left out.
        hidden_size: d.
        readout: Where kernels act: `hidden` through a linear head, or `logits`.
        readout_note: Why on the logits.
        left_out: Default kernels that the head does not allow.
        kernels: The exact one first.
        sketches: Kernels of sketched gradients.
        cosines: Between the gradients of different outputs.
        stability: The exact kernel at the other adapter.
        seconds: By stage.
        versions: By package.
        device: In words.
        precision: In words.
    """

    schema: int = 1
    model: str
    adapter: str | None
    compare_adapter: str | None
    queries: str
    candidates: str
    num_queries: int
    num_candidates: int
    num_cut: NumCut
    max_length: int
    pooling: str
    seed: int
    top: int
    chance_overlap: float
    num_parameters: int
    coverage: tuple[Coverage, ...]
    vocab_size: int
    padded_rows: int
    hidden_size: int
    readout: str
    readout_note: str | None
    left_out: tuple[str, ...]
    kernels: tuple[KernelFidelity, ...]
    sketches: tuple[KernelFidelity, ...]
    cosines: OutputCosines
    stability: KernelFidelity | None
    seconds: dict[str, float]
    versions: dict[str, str]
    device: str
    precision: str
