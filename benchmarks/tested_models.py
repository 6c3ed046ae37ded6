"""Which models were tested? `uv run python -m benchmarks.tested_models`.

For every family and variant in `tests/golden/`: the relative errors of hidden states,
logits, logits with a LoRA adapter, and gradients with respect to the adapter, against
what transformers and PEFT compute on the same tiny random model. Read a number as
max|Δ| / max|expected|; both sides compute in float32, which alone explains 1e-5.

An error beyond the tolerance of the tests ends the module without a result.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.records import NotMeasured, run
from tests.golden.parity import TOLERANCES, errors, folders, reference_versions


def main() -> int:
    settings = {"tolerances": TOLERANCES}
    return run("tested_models", settings, lambda: measure(folders()))


def measure(variants: Mapping[str, Sequence[Path]]) -> dict:
    """Errors by family and variant, and the versions of the reference packages.

    Args:
        variants: Golden folders by family.

    Raises:
        NotMeasured: If an error is larger than its tolerance.
    """
    families: dict[str, dict[str, dict[str, float]]] = {}
    reference: dict[str, str] = {}
    for family, members in variants.items():
        families[family] = {}
        for folder in members:
            found = errors(folder)
            _require_close(f"{family}/{folder.name}", found)
            families[family][folder.name] = found
            reference |= reference_versions(folder)
    return {"families": families, "reference_versions": reference}


def _require_close(name: str, found: Mapping[str, float]) -> None:
    for what, error in found.items():
        if not error <= TOLERANCES[what]:
            raise NotMeasured(
                f"{name}: {what} {error:.1e} away from the reference (at most "
                f"{TOLERANCES[what]:.0e} is allowed)."
            )


if __name__ == "__main__":
    raise SystemExit(main())
