"""The errors of golden models, as a result and as a table."""

import shutil

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from benchmarks import readme_models
from benchmarks.records import NotMeasured
from benchmarks.tested_models import measure
from tests.golden.parity import GOLDEN, TOLERANCES, folders


PLAIN = GOLDEN / "llama" / "plain"
ADAPTED = GOLDEN / "families" / "qwen2" / "tied"


@pytest.mark.slow
def test_measured_errors_are_within_tolerance_and_named():
    found = measure({"llama": [PLAIN], "qwen2": [ADAPTED]})
    assert found["families"]["llama"]["plain"].keys() == {"hidden", "logits"}
    errors = found["families"]["qwen2"]["tied"]
    assert errors.keys() == TOLERANCES.keys()
    assert all(0 < error <= TOLERANCES[name] for name, error in errors.items())
    assert found["reference_versions"].keys() >= {"transformers", "peft", "torch"}


def test_wrong_number_leaves_no_result(tmp_path):
    folder = tmp_path / "wrong"
    shutil.copytree(PLAIN, folder)
    expected = load_file(folder / "expected.safetensors")
    expected["hidden"] = expected["hidden"].copy()
    expected["hidden"][0, -1, 0] += 1e-3 * np.abs(expected["hidden"]).max()
    save_file(expected, folder / "expected.safetensors", {"versions": "{}"})
    with pytest.raises(NotMeasured, match=r"llama/wrong: hidden 1\.0e-03 away"):
        measure({"llama": [folder]})


def test_table_has_every_family_with_its_largest_errors():
    families = {
        family: {folder.name: dict.fromkeys(TOLERANCES, 2e-6) for folder in members}
        for family, members in folders().items()
    }
    families["llama"]["plain"] = {"hidden": 1e-6, "logits": 3e-6}
    versions = {"transformers": "5.0", "peft": "0.2"}
    result = {"families": families, "reference_versions": versions}
    in_peft = {family: dict.fromkeys(found, 4e-6) for family, found in families.items()}
    in_peft["llama"]["plain"] = 5e-6
    table = readme_models.tested_models(result, {"families": in_peft})
    lines = table.splitlines()
    assert len(lines) == 2 + len(families) + 2
    (llama,) = [line for line in lines if line.startswith("| `llama` |")]
    assert llama.endswith("| 2e-06 | 3e-06 | 2e-06 | 2e-06 | 5e-06 |")
    assert "yarn defaults" in llama
    assert "transformers 5.0 and PEFT 0.2" in lines[-1]
