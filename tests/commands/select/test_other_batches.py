"""A selection that was killed goes on with other batches, which only round."""

import json
import signal
import subprocess
import sys

import numpy as np
import pytest

from tests.commands.select.problem import flags_of, numbers, write_problem


KILLED = """
import os, signal, sys
from ntkjax.cli.main import script
from ntkjax.store.shards import ShardedPass

write, count = ShardedPass.write, 0

def killing(self, *arguments):
    global count
    write(self, *arguments)
    count += 1
    if count == 3:
        os.kill(os.getpid(), signal.SIGKILL)

ShardedPass.write = killing
script()
"""
SCRIPT = "from ntkjax.cli.main import script; script()"


def select(world, code=SCRIPT, **changes) -> subprocess.CompletedProcess:
    words = ["select", *flags_of(world, **changes)]
    return subprocess.run(
        [sys.executable, "-c", code, *words], capture_output=True, text=True
    )


def shards_of(out) -> dict[str, bytes]:
    paths = sorted(out.glob("stages/*/shard-*"))
    return {str(path.relative_to(out)): path.read_bytes() for path in paths}


@pytest.mark.slow
def test_other_batches_after_a_kill(world):
    write_problem(world)
    undisturbed = select(world, out=world.root / "undisturbed", tokens_per_batch=96)
    assert undisturbed.returncode == 0, undisturbed.stderr
    killed = select(world, KILLED, tokens_per_batch=96)
    assert killed.returncode == -signal.SIGKILL
    before = shards_of(world.out)
    assert len(before) == 6  # arrays and records of three
    resumed = select(world, tokens_per_batch=40)
    assert resumed.returncode == 0, resumed.stderr
    assert "the last start ended without a word in " in resumed.stderr
    found = shards_of(world.out)
    assert before.items() <= found.items()
    batches = {
        name: json.loads(content)["tokens_per_batch"]
        for name, content in found.items()
        if name.endswith(".json")
    }
    assert batches == {name: 96 if name in before else 40 for name in batches}
    assert set(batches.values()) == {96, 40}
    score, expected = (
        numbers(out, "score") for out in (world.out, world.root / "undisturbed")
    )
    scale = np.nanmax(np.abs(expected))
    np.testing.assert_allclose(score, expected, rtol=0, atol=1e-5 * scale)
