import json
import shutil

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from ntkjax.checkpoints.checkpoint import (
    Checkpoint,
    open_safetensors,
    read_described,
    read_tensors,
    require_finite,
)
from ntkjax.errors import InputError
from tests.checkpoints.files import GOLDEN, PLAIN


SHARDED = GOLDEN / "llama" / "sharded"
INDEX = "model.safetensors.index.json"


@pytest.fixture
def sharded(tmp_path):
    for path in SHARDED.glob("model*"):
        shutil.copy(path, tmp_path)
    return tmp_path


def edit_index(folder, **changes):
    path = folder / INDEX
    index = json.loads(path.read_bytes())
    index["weight_map"] |= changes
    path.write_text(json.dumps(index))


def test_one_file_and_shards_hold_the_same_tensors():
    one, many = Checkpoint(PLAIN), Checkpoint(SHARDED)
    assert one.tensors.keys() == many.tensors.keys()
    assert len({tensor.path for tensor in many.tensors.values()}) == 4
    for name in one.tensors:
        assert (one.read(name) == many.read(name)).all()


@pytest.mark.parametrize(
    "dtype", [np.float32, np.float16, ml_dtypes.bfloat16, np.float64], ids=str
)
def test_tensors_keep_their_type_and_bits(tmp_path, dtype):
    array = np.linspace(-3, 3, 12, dtype=np.float32).reshape(3, 4).astype(dtype)
    save_file({"a": array}, tmp_path / "model.safetensors")
    found = Checkpoint(tmp_path).read("a")
    assert found.dtype == dtype
    assert found.tobytes() == array.tobytes()


@pytest.mark.parametrize("keep", [0, 4, 100, -1], ids="keep {}".format)
def test_truncated_file(tmp_path, keep):
    content = (PLAIN / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(content[:keep])
    with pytest.raises(InputError, match=r"model\.safetensors: damaged or truncated"):
        Checkpoint(tmp_path)


def test_missing_shards(sharded):
    (sharded / "model-00002-of-00004.safetensors").unlink()
    (sharded / "model-00004-of-00004.safetensors").unlink()
    message = r"2 of the 4 shards .* missing: model-00002-.*, model-00004-.*; copy or"
    with pytest.raises(InputError, match=message) as caught:
        Checkpoint(sharded)
    assert str(caught.value).startswith(f"{sharded}: ")


def test_truncated_shard(sharded):
    path = sharded / "model-00003-of-00004.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(InputError, match=r"model-00003-.*: damaged or truncated"):
        Checkpoint(sharded)


@pytest.mark.parametrize("size", [0, -3, "many", None])
def test_the_indexs_word_on_sizes_does_not_count(sharded, size):
    path = sharded / INDEX
    index = json.loads(path.read_bytes()) | {"metadata": {"total_size": size}}
    path.write_text(json.dumps(index))
    assert Checkpoint(sharded).tensors.keys() == Checkpoint(PLAIN).tensors.keys()


def test_index_names_a_tensor_that_the_shard_lacks(sharded):
    edit_index(sharded, **{"model.ghost": "model-00003-of-00004.safetensors"})
    with pytest.raises(
        InputError, match=r"-00003-.*: lacks what .*: model\.ghost; copy"
    ):
        Checkpoint(sharded)


def test_shard_has_a_tensor_that_the_index_lacks(sharded):
    path = sharded / "model-00001-of-00004.safetensors"
    save_file(load_file(path) | {"model.extra": np.zeros(3, np.float32)}, path)
    with pytest.raises(
        InputError, match=r"-00001-.*: holds what .*: model\.extra; copy"
    ):
        Checkpoint(sharded)


@pytest.mark.parametrize("shard", ["../secret", "/etc/passwd", "a/b", "..", "", "."])
def test_shards_outside_the_folder_are_refused(tmp_path, shard):
    (tmp_path / "secret").touch()
    (tmp_path / "model").mkdir()
    index = {"weight_map": {"a": shard}}
    (tmp_path / "model" / INDEX).write_text(json.dumps(index))
    with pytest.raises(InputError, match="is not a plain file name"):
        Checkpoint(tmp_path / "model")


@pytest.mark.parametrize(
    "content",
    [
        b"{",
        b"[]",
        b"{}",
        b'{"weight_map": []}',
        b'{"weight_map": {"a": 3}}',
        b'{"weight_map": {"a": null, "b": "c"}}',
    ],
)
def test_damaged_index(tmp_path, content):
    (tmp_path / INDEX).write_bytes(content)
    with pytest.raises(InputError, match=r"index\.json: no valid index"):
        Checkpoint(tmp_path)


def test_one_file_comes_before_an_index_as_in_transformers(sharded):
    # A folder that was saved into twice: transformers reads the single file.
    save_file({"a": np.ones(3, np.float32)}, sharded / "model.safetensors")
    assert list(Checkpoint(sharded).tensors) == ["a"]


def test_pickle_is_never_read(tmp_path):
    # Unpickling this would raise ZeroDivisionError.
    evil = b"cbuiltins\neval\n(S'1/0'\ntR."
    (tmp_path / "pytorch_model.bin").write_bytes(evil)
    message = r"no model\.safetensors .*pytorch_model\.bin is pickle.*never read"
    with pytest.raises(InputError, match=message):
        Checkpoint(tmp_path)


def test_empty_folder(tmp_path):
    message = r"has no model\.safetensors and no model\.safetensors\.index\.json\.$"
    with pytest.raises(InputError, match=message):
        Checkpoint(tmp_path)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(
    "dtype", [np.float32, np.float16, ml_dtypes.bfloat16], ids=["f32", "f16", "bf16"]
)
def test_numbers_that_are_not_finite(tmp_path, bad, dtype):
    array = np.ones((3, 4), dtype)
    array[1, 2] = array[2, 0] = bad
    save_file({"good": np.ones(2, dtype), "bad": array}, tmp_path / "model.safetensors")
    checkpoint = Checkpoint(tmp_path)
    assert (checkpoint.read("good") == 1).all()
    with pytest.raises(InputError, match="'bad' has 2 numbers that are NaN or inf"):
        checkpoint.read("bad")


@pytest.mark.parametrize(
    ("code", "spelled"),
    [
        ("I8", "int8"),
        ("U8", "uint8"),
        ("I32", "int32"),
        ("BOOL", "bool"),
        ("F8_E4M3", "float8_e4m3"),
        ("F8_E5M2", "float8_e5m2"),
    ],
)
def test_quantized_weights(tmp_path, code, spelled):
    size = {"I32": 4}.get(code, 1)
    header = {"a": {"dtype": code, "shape": [3], "data_offsets": [0, 3 * size]}}
    text = json.dumps(header).encode()
    content = len(text).to_bytes(8, "little") + text + bytes(3 * size)
    (tmp_path / "model.safetensors").write_bytes(content)
    message = rf"model\.safetensors: tensor 'a' is {spelled}; quantized weights cannot"
    with pytest.raises(InputError, match=message):
        Checkpoint(tmp_path).read("a")
    with pytest.raises(InputError, match=message):
        Checkpoint(tmp_path).require("a", (3,))


def test_casting_is_numpys(tmp_path):
    drawn = np.random.default_rng(0).normal(size=(40, 9)).astype(np.float32)
    save_file({"a": drawn}, tmp_path / "model.safetensors")
    checkpoint = Checkpoint(tmp_path)
    for dtype in (np.float16, ml_dtypes.bfloat16, np.float64):
        found = checkpoint.read("a", dtype)
        assert found.dtype == dtype
        assert found.tobytes() == drawn.astype(dtype).tobytes()


def test_bytes_are_counted_as_the_file_has_them(tmp_path):
    array = np.ones((3, 5), ml_dtypes.bfloat16)
    save_file({"a": array}, tmp_path / "model.safetensors")
    counts = []
    Checkpoint(tmp_path).read("a", np.float32, counts.append)
    assert sum(counts) == array.nbytes


@pytest.mark.parametrize(
    ("stored", "dtype", "large"),
    [
        (np.float32, np.float16, 7e4),
        (ml_dtypes.bfloat16, np.float16, -7e4),
        (np.float64, np.float32, 1e39),
    ],
    ids=str,
)
def test_numbers_beyond_the_type_that_is_asked_for(tmp_path, stored, dtype, large):
    array = np.array([1, large, 2], stored)
    save_file({"a": array}, tmp_path / "model.safetensors")
    message = f"'a' has 1 numbers beyond the range of {np.dtype(dtype)}; try dtype"
    with pytest.raises(InputError, match=message):
        Checkpoint(tmp_path).read("a", dtype)
    assert (Checkpoint(tmp_path).read("a") == array).all()


def test_equal_tensors(tmp_path):
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    other = array.copy()
    other[1, 2] = 7
    tensors = {
        "one": array,
        "same": array.astype(np.float16),
        "other": other,
        "shape": array.reshape(3, 2).copy(),
    }
    save_file(tensors, tmp_path / "model.safetensors")
    equal = {n for n in tensors if Checkpoint(tmp_path).are_equal("one", n)}
    assert equal == {"one", "same"}


def test_the_largest_finite_numbers_pass(tmp_path):
    for dtype in (np.float16, ml_dtypes.bfloat16, np.float32, np.float64):
        largest = ml_dtypes.finfo(dtype).max
        require_finite(np.array([largest], dtype), "a", tmp_path)


def test_a_folder_is_no_safetensors_file(tmp_path):
    with pytest.raises(InputError, match="damaged"):
        open_safetensors(tmp_path)


def test_tensors_with_what_the_file_says_of_them(tmp_path):
    path = tmp_path / "a.safetensors"
    save_file({"a": np.ones(2, np.float32)}, path, metadata={"of": "me"})
    tensors, metadata = read_described(path)
    assert tensors["a"].tolist() == [1, 1]
    assert metadata == {"of": "me"}
    save_file({}, path)
    assert read_described(path) == ({}, {})


def test_types_that_numpy_lacks_are_named(tmp_path):
    path = tmp_path / "a.safetensors"
    header = {"a": {"dtype": "F8_E4M3", "shape": [4], "data_offsets": [0, 4]}}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(len(text).to_bytes(8, "little") + text + bytes(4))
    for read in (read_described, read_tensors):
        with pytest.raises(InputError, match=r"a\.safetensors: damaged or truncated"):
            read(path)
