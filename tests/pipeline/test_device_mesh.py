import json

import jax
import numpy as np
import pytest
import safetensors.numpy

from ntkjax.cli.main import main
from ntkjax.errors import InputError
from ntkjax.pipeline.device_mesh import automatic_mesh, open_mesh, weight_bytes
from ntkjax.pipeline.device_settings import DeviceOptions
from tests.cli.world import build_world
from tests.oracles import normwise
from tests.problems import tiny_config


CONFIG = tiny_config(num_heads=4, num_kv_heads=4, intermediate_size=24)
WHOLE = float(weight_bytes(CONFIG, 4, 1))
FLOAT32 = np.dtype(np.float32)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return build_world(tmp_path_factory.mktemp("world"))


@pytest.mark.parametrize(
    ("memory", "expected"),
    [
        (None, (8, 1)),
        (2 * WHOLE, (8, 1)),
        (WHOLE, (4, 2)),  # 0.6 of a device do not hold the weights
        (WHOLE / 2, (2, 4)),
        (WHOLE / 100, (2, 4)),  # 8 devices cannot share 4 heads
    ],
)
def test_as_few_devices_as_hold_the_weights(memory, expected):
    assert automatic_mesh(CONFIG, 4, 8, memory) == expected


def test_the_mesh_divides_the_devices():
    assert automatic_mesh(CONFIG, 4, 6, WHOLE / 100) == (3, 2)
    assert automatic_mesh(CONFIG, 4, 3, WHOLE / 100) == (3, 1)


@pytest.mark.parametrize(
    ("mesh", "shape"), [("auto", (2, 1)), ("model=2", (1, 2)), ("data=2", (2, 1))]
)
def test_open(world, mesh, shape):
    found = open_mesh(DeviceOptions(mesh), world.model, FLOAT32)
    assert found.devices.shape == shape
    assert found.devices.ravel().tolist() == jax.devices()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("data=4,model=2",), "data=4,model=2: needs 8 devices, but there are 2"),
        (("data=1",), "--mesh data=1: needs 1 devices, but there are 2"),
        (("data=2", 4e-5), r"on each device, which has .*; choose --mesh data=1,mode"),
        (("auto", 1e-6), r"; use more devices, or --dtype bfloat16\.$"),
    ],
)
def test_refused(world, options, message):
    with pytest.raises(InputError, match=message):
        open_mesh(DeviceOptions(*options), world.model, FLOAT32)


def test_weights_that_fit_only_when_shared(world):
    memory = 1.2 * weight_bytes(read(world), 4, 2) / 2**30
    found = open_mesh(DeviceOptions("auto", memory), world.model, FLOAT32)
    assert found.devices.shape == (1, 2)


def read(world):
    from ntkjax.models.families import read_config

    return read_config(world.model).decoder


@pytest.mark.slow
def test_commands_agree_on_both_meshes(world, capsys):
    """Fidelity, train, select and evaluate: data=2 against model=2."""
    found = {}
    for mesh in ("data=2", "model=2"):
        out = world.root / mesh
        common = ["--mesh", mesh, "--model", str(world.model), "--max-length", "24"]
        small = world.flags(kernels=("summed",), sketches=None, out=out / "fidelity")
        lora = ["--lora.rank", "2"]
        assert main(["fidelity", *small, *lora, "--mesh", mesh]) == 0
        data = ["--data", str(world.queries), "--out", str(out / "train")]
        assert main(["train", *common, *lora, *data, "--training.steps", "3"]) == 0
        select = [
            *("--target", str(world.queries), "--pool", str(world.candidates)),
            *("--budget", "5", "--training.steps", "2", "--out", str(out / "select")),
        ]
        assert main(["select", *common, *lora, *select]) == 0
        adapter = ["--adapter", str(out / "train" / "adapter")]
        asked = ["--data", str(world.queries), "--out", str(out / "evaluate")]
        assert main(["evaluate", *common, *adapter, *asked]) == 0
        capsys.readouterr()
        kernels = safetensors.numpy.load_file(out / "fidelity/kernels.safetensors")
        theta = safetensors.numpy.load_file(
            out / "train/adapter/adapter_model.safetensors"
        )
        nll = json.loads((out / "evaluate/evaluation.json").read_text())
        found[mesh] = {
            **kernels,
            **theta,
            "nll": np.array(nll["overall"]["nll"]["value"]),
            "selected": (out / "select/selected.jsonl").read_bytes(),
        }
    one, other = found.values()
    assert one.pop("selected") == other.pop("selected")
    assert one.keys() == other.keys()
    for name, array in one.items():
        # Sums over two devices round otherwise; Adam's first steps are signs of them.
        assert normwise(other[name], array) < 1e-4, name
