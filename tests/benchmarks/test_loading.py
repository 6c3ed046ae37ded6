"""Loading holds no tensor twice: the benchmark's measurement on a small checkpoint."""

import sys

import numpy as np
import pytest

from benchmarks.loading import CASES, SHARDS, load_apart, write_checkpoint
from ntkjax.checkpoints.checkpoint import Checkpoint


MIB = 2**20


@pytest.mark.slow  # six processes
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/self")
@pytest.mark.parametrize(("stored", "dtype"), CASES)
def test_the_peak_is_little_more_than_the_weights(tmp_path, stored, dtype):
    folder = tmp_path / "model"
    written = write_checkpoint(folder, stored, 128 * MIB)
    found = load_apart(folder, dtype)
    widened = np.dtype(dtype).itemsize / np.dtype(stored).itemsize
    assert found["weights_mib"] == pytest.approx(widened * written / MIB, abs=0.1)
    # The head held twice would be 1.125; blocks take some 10 MiB, or 0.08. Below 1 are
    # pages that the process had already.
    assert 0.85 < found["ratio"] < 1.12


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_checkpoint_is_as_large_as_it_should_be(tmp_path, dtype):
    written = write_checkpoint(tmp_path / "model", dtype, 4 * MIB)
    tensors = Checkpoint(tmp_path / "model").tensors.values()
    assert len({tensor.path for tensor in tensors}) == SHARDS
    assert sum(tensor.num_bytes for tensor in tensors) == written
    assert 0.99 * 4 * MIB < written <= 4 * MIB
