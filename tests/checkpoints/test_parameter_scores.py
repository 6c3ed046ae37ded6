import json

import numpy as np
import pytest
import safetensors.numpy

from ntkjax.checkpoints.mask import MaskFacts
from ntkjax.checkpoints.parameter_scores import (
    read_parameter_scores,
    write_parameter_scores,
)
from ntkjax.errors import InputError
from ntkjax.models.lora import LoraSettings


SCORES = {"a.lora_A": np.array([[1.0, -2.0]]), "a.lora_B": np.array([[0.5]])}
VALUES = {"a.lora_A": np.array([[0.1, 0.2]]), "a.lora_B": np.array([[0.0]])}
ARRAYS = {f"score/{n}": v for n, v in SCORES.items()} | {
    f"theta/{n}": v for n, v in VALUES.items()
}


@pytest.mark.parametrize("lora", [None, LoraSettings(1, 2.0, ("a",), True)])
def test_what_was_written_is_read(tmp_path, lora):
    facts = MaskFacts("model", lora, "start")
    path = tmp_path / "parameters.safetensors"
    write_parameter_scores(path, ARRAYS, facts)
    scores, values, found = read_parameter_scores(path)
    assert found == facts
    for expected, tree in ((SCORES, scores), (VALUES, values)):
        assert tree.keys() == expected.keys()
        for name, leaf in expected.items():
            np.testing.assert_array_equal(tree[name], leaf.astype(np.float32))


def test_no_damage_gives_other_numbers(tmp_path):
    path = tmp_path / "parameters.safetensors"
    write_parameter_scores(path, ARRAYS, MaskFacts("model", None, "start"))
    content, expected = path.read_bytes(), read_parameter_scores(path)
    said = []
    for place in range(len(content)):
        flipped = content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]
        path.write_bytes(flipped)
        try:
            found = read_parameter_scores(path)
        except InputError as error:
            said.append(str(error))
        else:  # a byte of what the scores belong to, which whoever reads them asks
            assert place < len(content) - 24
            for tree, before in zip(found[:2], expected[:2], strict=True):
                assert {n: a.tolist() for n, a in tree.items()} == {
                    n: a.tolist() for n, a in before.items()
                }
    assert all(line.startswith(f"{path}: ") and "\n" not in line for line in said)
    assert sum("damaged: it holds other numbers than" in line for line in said) >= 24


def test_scores_of_before_the_hash_are_read(tmp_path):
    path = tmp_path / "parameters.safetensors"
    arrays = {name: leaf.astype(np.float32) for name, leaf in ARRAYS.items()}
    about = json.dumps(MaskFacts("model", None, "start").plain())
    metadata = {"ntkjax.parameters": about}
    path.write_bytes(safetensors.numpy.save(arrays, metadata=metadata))
    assert read_parameter_scores(path)[2].model == "model"


def test_another_file_is_refused(tmp_path):
    path = tmp_path / "other.safetensors"
    path.write_bytes(safetensors.numpy.save({"score/a": np.zeros(2, np.float32)}))
    with pytest.raises(InputError, match=r"other\.safetensors: no scores of param"):
        read_parameter_scores(path)


def test_scores_without_their_values_are_refused(tmp_path):
    path = tmp_path / "parameters.safetensors"
    only = {name: leaf for name, leaf in ARRAYS.items() if name != "theta/a.lora_B"}
    write_parameter_scores(path, only, MaskFacts("model", None, "start"))
    with pytest.raises(InputError, match="scores and values differ"):
        read_parameter_scores(path)


@pytest.mark.parametrize("value", [np.nan, -np.inf, 1e39])  # the last in float32
@pytest.mark.filterwarnings("ignore:overflow encountered in cast")
def test_numbers_must_be_finite(tmp_path, value):
    path = tmp_path / "parameters.safetensors"
    for name in ("score/a.lora_B", "theta/a.lora_B"):
        arrays = ARRAYS | {name: np.array([[value]])}
        with pytest.raises(ValueError, match=f"{name}: numbers must be finite"):
            write_parameter_scores(path, arrays, MaskFacts("model", None, "start"))
    assert not path.exists()
