"""Every family from the command line: fidelity, train, select, evaluate.

The models are the first layers of golden checkpoints, under the tokenizer of the small
world: so many that every kind of layer is there.
"""

import json
import shutil

import pytest
import safetensors.numpy

from ntkjax.checkpoints.families.table import FAMILIES
from ntkjax.cli.main import main
from tests.checkpoints.families.test_family_keys import BASES
from tests.commands.world import GOLDEN, write_records


NUM_LAYERS = {"gemma2": 2, "gemma3_text": 3, "smollm3": 2}
"""Where layers alternate: windows and full attention, rotations and none."""


def install(world, family: str) -> None:
    """Puts the first layers of a golden checkpoint in place of the world's model."""
    source = GOLDEN / "families" / family / BASES[family]
    for name in ("config.json", "model.safetensors"):
        shutil.copyfile(source / name, world.model / name)
    number = NUM_LAYERS.get(family, 1)
    config = json.loads((world.model / "config.json").read_text())
    lists = ("layer_types", "no_rope_layers")
    cut = {name: config[name][:number] for name in lists if name in config}
    if family in NUM_LAYERS:
        assert any(len(set(kinds)) == 2 for kinds in cut.values())
    world.edit_config(num_hidden_layers=number, bos_token_id=1, eos_token_id=2, **cut)
    kept = tuple(f"model.layers.{layer}." for layer in range(number))
    world.edit_tensors(
        lambda tensors: [
            tensors.pop(name)
            for name in list(tensors)
            if name.startswith("model.layers.") and not name.startswith(kept)
        ]
    )


def test_the_table_of_bases_is_complete():
    assert BASES.keys() == FAMILIES.keys()


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_commands(world, family, capsys):
    install(world, family)
    lora = ["--lora.rank", "2"]
    model = ["--model", str(world.model), "--max-length", "24"]
    out = world.root

    code = main(["fidelity", *world.flags(kernels=("summed", "random_2")), *lora])
    assert code == 0
    result = json.loads((world.out / "fidelity.json").read_text())
    capped = family == "gemma2"
    assert result["readout"] == ("logits" if capped else "hidden")
    assert ("soft-caps its logits" in capsys.readouterr().out) == capped

    trained = [*model, *lora, "--data", str(world.queries), "--out", str(out / "train")]
    assert main(["train", *trained, "--training.steps", "2"]) == 0
    adapter = out / "train" / "adapter"
    theta = safetensors.numpy.load_file(adapter / "adapter_model.safetensors")
    layers = NUM_LAYERS.get(family, 1)
    assert len(theta) == layers * 7 * 2  # A and B of seven matrices
    assert all(leaf.any() for leaf in theta.values())

    chosen = [
        *(*model, "--target", str(world.queries), "--pool", str(world.candidates)),
        *("--budget", "5", "--adapter", str(adapter), "--training.steps", "2"),
        *("--out", str(out / "select")),
    ]
    assert main(["select", *chosen]) == 0
    assert len((out / "select" / "selected.jsonl").read_text().splitlines()) == 5

    questions = out / "questions.jsonl"
    write_records(
        questions,
        [{"prompt": "ab", "response": "c", "choices": ["c", "de"], "answer": 0}],
    )
    asked = ["--data", str(questions), "--adapter", str(adapter)]
    if family in NUM_LAYERS:
        asked += ["--generate", "--max-new-tokens", "3"]
    assert main(["evaluate", *model, *asked, "--out", str(out / "evaluate")]) == 0
    assert "nan" not in capsys.readouterr().out.lower()
