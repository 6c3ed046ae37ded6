"""Does PEFT compute the same with adapters trained here?

    uv run python -m benchmarks.peft_roundtrip

For every golden checkpoint of every family: two steps of training, then PEFT and
transformers load the checkpoint and the adapter that was written, in an environment of
their own (`tests/golden/check_peft_roundtrip.py`). Read a number as max|Δ| of the
logits / max|logits|; both sides compute in float32.

An error beyond the tolerance of that script ends the module without a result.
"""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.records import NotMeasured, run
from tests.golden.parity import folders
from tests.golden.roundtrip_families import command, write_trained


def main() -> int:
    return run("peft_roundtrip", {}, measured)


def measured() -> dict:
    families: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as out:
        for family, variants in folders().items():
            families[family] = {
                variant.name: error_in_peft(variant, Path(out) / variant.name)
                for variant in variants
            }
    return {"families": families}


def error_in_peft(folder: Path, out: Path) -> float:
    """How far PEFT's logits are from ours.

    Args:
        folder: Of the checkpoint.
        out: Where the adapter is written.

    Raises:
        NotMeasured: If PEFT does not take over the adapter, or computes other logits.
    """
    write_trained(folder, out)
    words = command(folder, out).split()
    ended = subprocess.run(words, capture_output=True, text=True)
    found = re.search(r"relative error of the logits: (\S+)", ended.stdout)
    if ended.returncode or found is None:
        raise NotMeasured(f"{folder.name}: {ended.stdout}{ended.stderr[-500:]}")
    print(folder.name, found[1], file=sys.stderr, flush=True)
    return float(found[1])


if __name__ == "__main__":
    raise SystemExit(main())
