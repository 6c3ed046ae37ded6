import ml_dtypes
import numpy as np
import pytest
from jax import device_put
from safetensors.numpy import save_file

from ntkjax.checkpoints import stored_tensor as module
from ntkjax.checkpoints.checkpoint import Checkpoint
from ntkjax.checkpoints.stored_tensor import aligned, count_not_finite, part_size
from ntkjax.errors import InputError


TYPES = [np.float64, np.float32, np.float16, ml_dtypes.bfloat16]


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(module, "BLOCK", 7)


@pytest.mark.parametrize("dtype", TYPES, ids=str)
@pytest.mark.parametrize("shape", [(), (0, 3), (7,), (3, 5), (14, 2)], ids=str)
def test_blocks_are_the_tensor_in_order(tmp_path, small_blocks, dtype, shape):
    drawn = np.random.default_rng(0).normal(size=shape)
    arrays = {"before": np.ones(3, np.float16), "a": np.asarray(drawn, dtype)}
    save_file(arrays, tmp_path / "model.safetensors")
    tensor = Checkpoint(tmp_path).tensors["a"]
    assert (tensor.shape, tensor.dtype) == (shape, dtype)
    assert tensor.num_bytes == arrays["a"].nbytes
    blocks = [block.copy() for block in tensor.blocks()]
    assert all(block.size <= 7 for block in blocks)
    assert b"".join(block.tobytes() for block in blocks) == arrays["a"].tobytes()
    assert Checkpoint(tmp_path).read("a").tobytes() == arrays["a"].tobytes()


@pytest.mark.parametrize(
    ("shape", "part"),
    [
        ((9,), ((2, 7),)),
        ((6, 4), ((1, 5), (0, 4))),  # rows: neighbors in the file
        ((6, 4), ((0, 6), (2, 4))),
        ((6, 20), ((2, 5), (1, 18))),  # rows longer than a block
        ((6, 4), ((3, 3), (0, 4))),
    ],
    ids=str,
)
@pytest.mark.parametrize("dtype", [np.float32, ml_dtypes.bfloat16], ids=str)
def test_a_part_is_read_and_nothing_else(tmp_path, small_blocks, dtype, shape, part):
    whole = np.arange(np.prod(shape)).astype(dtype).reshape(shape)
    expected = whole[tuple(slice(*side) for side in part)].copy()
    whole[...] = np.nan  # what is not of the part would be refused
    whole[tuple(slice(*side) for side in part)] = expected
    save_file({"b": np.ones(5, dtype), "a": whole}, tmp_path / "model.safetensors")
    counts = []
    found = Checkpoint(tmp_path).read("a", None, counts.append, part)
    assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
    assert found.tobytes() == expected.tobytes()
    assert sum(counts) == expected.nbytes
    assert part_size(part) == expected.size


def test_a_file_that_shrinks_after_its_header_was_read(tmp_path):
    path = tmp_path / "model.safetensors"
    save_file({"a": np.ones(9, np.float32)}, path)
    tensor = Checkpoint(tmp_path).tensors["a"]
    path.write_bytes(path.read_bytes()[:-2])
    with pytest.raises(InputError, match=r"truncated .*it ends too soon.*again\.$"):
        list(tensor.blocks())


@pytest.mark.parametrize("dtype", TYPES[1:], ids=str)
@pytest.mark.parametrize("shape", [(), (3, 5), (1000, 3)], ids=str)
def test_jax_takes_aligned_memory_over(dtype, shape):
    # What keeps loading from holding a tensor twice on a CPU.
    array = aligned(shape, np.dtype(dtype))
    assert (array.shape, array.dtype) == (shape, dtype)
    array[...] = 3
    assert device_put(array).unsafe_buffer_pointer() == array.ctypes.data


@pytest.mark.parametrize("dtype", TYPES, ids=str)
def test_bad_numbers_are_counted_in_every_block(small_blocks, dtype):
    array = np.ones((5, 6), dtype)
    assert count_not_finite(array) == 0
    array[0, 1], array[2, 3], array[4, 5] = np.nan, np.inf, -np.inf
    assert count_not_finite(array) == 3
