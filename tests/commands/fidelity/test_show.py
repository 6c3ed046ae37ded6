import json

import numpy as np
import pytest

from ntkjax.cli.main import main
from ntkjax.kernels.table import kernel_summaries
from tests.commands.world import write_records


def run(world, **changes) -> int:
    return main(["fidelity", *world.flags(**changes)])


def records(path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def change_line(path, number: int, content: bytes):
    lines = path.read_bytes().splitlines(keepends=True)
    lines[number - 1] = content + b"\n"
    path.write_bytes(b"".join(lines))


def missing_queries(world):
    world.queries.unlink()


def bad_json(world):
    change_line(world.queries, 3, b'{"prompt": "a", ')


def bad_utf8(world):
    change_line(world.candidates, 4, b'{"prompt": "a", "response": "\xff"}')


def empty_response(world):
    change_line(world.queries, 5, b'{"prompt": "a", "response": "  "}')


def missing_field(world):
    change_line(world.queries, 2, b'{"prompt": "a"}')


def same_id_twice(world):
    lines = records(world.candidates)
    lines[6]["id"] = lines[1]["id"]
    write_records(world.candidates, lines)


def unknown_key(world):
    world.edit_config(logit_softcap=30.0)


def other_family(world):
    world.edit_config(model_type="mamba")


def no_config(world):
    (world.model / "config.json").unlink()


def no_tokenizer(world):
    (world.model / "tokenizer.json").unlink()
    (world.model / "tokenizer_config.json").unlink()


def missing_tensor(world):
    world.edit_tensors(lambda tensors: tensors.pop("model.norm.weight"))


def left_over_tensor(world):
    extra = {"model.layers.0.extra.weight": np.ones(3, np.float32)}
    world.edit_tensors(lambda tensors: tensors.update(extra))


def truncated(world):
    path = world.model / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def nan_weights(world):
    def damage(tensors):
        tensors["model.norm.weight"][2] = np.nan

    world.edit_tensors(damage)


def out_is_a_file(world):
    world.out.write_text("")


def out_is_full(world):
    world.out.mkdir()
    (world.out / "thesis.txt").write_text("")


def held_by_another_run(world):
    world.out.mkdir()
    (world.out / "run.yaml").write_text("adapter: old\n")


def same(world):
    pass


BAD = {
    # what is done to the world, flags, what the line names
    "missing file": (missing_queries, {}, ["queries.jsonl"]),
    "bad JSON": (bad_json, {}, ["queries.jsonl line 3", "JSON"]),
    "bad UTF-8": (bad_utf8, {}, ["candidates.jsonl line 4", "UTF-8"]),
    "empty response": (empty_response, {}, ["queries.jsonl line 5", '"response"']),
    "missing field": (missing_field, {}, ["queries.jsonl line 2", '"response"']),
    "id twice": (same_id_twice, {}, ["candidates.jsonl line 7", "line 2", '"c1"']),
    "no target left": (same, {"max_length": 1}, ["queries.jsonl:", "--max-length 1"]),
    "no length": (same, {"max_length": 0}, ["--max-length 0"]),
    "beyond positions": (same, {"max_length": 65}, ["--max-length 65", "64"]),
    "no model": (same, {"model": "absent"}, ["--model absent"]),
    "no config": (no_config, {}, ["config.json", "--model"]),
    "no tokenizer": (no_tokenizer, {}, ["model", "tokenizer"]),
    "other family": (other_family, {}, ["config.json", "model_type", "mamba"]),
    "unknown key": (unknown_key, {}, ["config.json", "logit_softcap=30.0"]),
    "missing tensor": (missing_tensor, {}, ["model:", "model.norm.weight", "missing"]),
    "left over": (left_over_tensor, {}, ["0.extra.weight", "left over"]),
    "truncated": (truncated, {}, ["model.safetensors", "truncated"]),
    "NaN weights": (nan_weights, {}, ["safetensors", "model.norm.weight", "NaN"]),
    "no match": (same, {"lora__targets": "q_pro"}, ["--lora.targets", "'q_pro'"]),
    "bad pattern": (same, {"lora__targets": "(q"}, ["--lora.targets", "'(q'"]),
    "rank 0": (same, {"lora__rank": 0}, ["--lora.rank", "0"]),
    "alpha 0": (same, {"lora__alpha": 0}, ["--lora.alpha", "0"]),
    "too many queries": (same, {"num_queries": 21}, ["--num-queries 21", "20"]),
    "no query": (same, {"num_queries": 0}, ["--num-queries 0"]),
    "two candidates": (same, {"num_candidates": 2}, ["--num-candidates", "at least 3"]),
    "unknown kernel": (same, {"kernels": "spectra_1"}, ["--kernels", "'spectra_1'"]),
    "no numbers": (same, {"kernels": "spectral"}, ["--kernels", "'spectral'"]),
    "centered_summed": (
        same,
        {"kernels": "centered_summed"},
        ["--kernels", "centered_summed"],
    ),
    "rank of head": (same, {"kernels": "spectral_33"}, ["--kernels", "33", "32 eig"]),
    "no probe": (same, {"kernels": "random_0"}, ["--kernels", "random_0"]),
    "bad sketch": (same, {"sketches": "shift"}, ["--sketches shift", "shift:8192"]),
    "unknown sketch": (same, {"sketches": "fft:8"}, ["--sketches fft:8"]),
    "sketch of 0": (same, {"sketches": "shift:0"}, ["--sketches shift:0"]),
    "bad pooling": (same, {"pooling": "first"}, ["--pooling first", "response"]),
    "bad dtype": (same, {"dtype": "float64"}, ["--dtype float64", "stored"]),
    "top": (same, {"top": 7}, ["--top 7", "--num-candidates"]),
    "cosine tokens": (same, {"cosine_tokens": 1}, ["--cosine-tokens"]),
    "negative seed": (same, {"seed": -1}, ["--seed -1"]),
    "another run": (held_by_another_run, {}, ["--out", "adapter was 'old'", "None"]),
    "out is a file": (out_is_a_file, {}, ["--out", "run"]),
    "out is full": (out_is_full, {}, ["--out", "run.yaml"]),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_clear_line(world, capsys, case):
    damage, flags, says = BAD[case]
    damage(world)
    assert run(world, **flags) == 2
    check_line(capsys, says)
    assert not (world.out / "fidelity.json").exists()


def check_line(capsys, says):
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("ntkjax: ")
    assert err.count("\n") == 1
    for text in says:
        assert text in err


def another_models(world):
    folder = world.write_adapter("a")
    world.edit_config(num_key_value_heads=2, intermediate_size=40)

    def shrink(tensors):
        for name in ("gate_proj", "up_proj"):
            key = f"model.layers.0.mlp.{name}.weight"
            tensors[key] = tensors[key][:40]
        key = "model.layers.0.mlp.down_proj.weight"
        tensors[key] = np.ascontiguousarray(tensors[key][:, :40])
        for name in ("k_proj", "v_proj"):
            key = f"model.layers.0.self_attn.{name}.weight"
            tensors[key] = tensors[key][:16]

    world.edit_tensors(shrink)
    return {"adapter": folder}, [str(folder), "another model", "down_proj.lora_A"]


def absent_adapter(world):
    return {"adapter": world.root / "none"}, ["--adapter", "none"]


def differing_rank(world):
    flags = {"adapter": world.write_adapter("a"), "lora__rank": 4}
    return flags, ["--lora.rank is 4", "has 2"]


def dora(world):
    folder = world.write_adapter("a", use_dora=True)
    return {"adapter": folder}, ["adapter_config.json", "use_dora=True"]


def absent_second(world):
    flags = {"adapter": world.write_adapter("a"), "compare_adapter": world.root / "b"}
    return flags, ["--compare-adapter", "/b"]


def second_of_another_scale(world):
    """Its numbers would be computed with the scale of the first."""
    second = world.write_adapter("b", lora_alpha=32)
    flags = {"adapter": world.write_adapter("a"), "compare_adapter": second}
    return flags, ["--compare-adapter", "/b", "alpha", "32.0", "4.0"]


def second_of_other_targets(world):
    second = world.write_adapter("b", target_modules=["q_proj", "v_proj"])
    flags = {"adapter": world.write_adapter("a"), "compare_adapter": second}
    return flags, ["--compare-adapter", "/b", "targets", "v_proj"]


def second_beside_a_fresh_one(world):
    flags = {"compare_adapter": world.write_adapter("b"), "lora__rank": 3}
    return flags, ["--compare-adapter", "/b", "rank", "2", "3"]


@pytest.mark.parametrize(
    "build",
    [
        another_models,
        absent_adapter,
        differing_rank,
        dora,
        absent_second,
        second_of_another_scale,
        second_of_other_targets,
        second_beside_a_fresh_one,
    ],
    ids=lambda build: build.__name__,
)
def test_bad_adapter_is_one_clear_line(world, capsys, build):
    flags, says = build(world)
    assert run(world, **flags) == 2
    check_line(capsys, says)
    assert not world.out.exists()


@pytest.mark.slow
def test_prints_the_table_and_finds_a_finished_run(world, capsys):
    flags = {"adapter": world.write_adapter("a"), "max_length": 6}
    assert run(world, **flags) == 0
    first = capsys.readouterr()
    names = ["exact", "spectral_1", "random_2", "deflated_1_2", "exact·shift_64"]
    rows = [line for line in first.out.splitlines() if line.startswith(tuple(names))]
    assert [row.split()[0] for row in rows] == names
    assert [row.split()[1] for row in rows] == ["33", "2", "3", "4", "33"]
    assert "θ: 288 parameters in" in first.out  # 2·(32 + 32) + 2·(32 + 48)
    assert "cut to 6 tokens" in first.out
    assert f"report: {world.out / 'report.html'}" in first.out
    assert "read again" not in first.out
    written = sorted(path.name for path in world.out.iterdir())
    assert written == [
        ".run-1-of-1.lock",
        "adapter",
        "examples.json",
        "fidelity.json",
        "kernels.safetensors",
        "manifest.json",
        "metrics.jsonl",
        "report.html",
        "run.yaml",
    ]
    before = {p.name: p.stat().st_mtime_ns for p in world.out.iterdir()}

    assert run(world, **flags) == 0
    second = capsys.readouterr()
    assert second.err == ""
    assert "finished before with the same settings; read again" in second.out
    assert second.out.startswith(first.out[: first.out.index("report:")])
    assert before == {p.name: p.stat().st_mtime_ns for p in world.out.iterdir()}

    assert run(world, **flags, seed=1) == 2
    assert "seed was 0 and is now 1" in capsys.readouterr().err
    change_line(world.queries, 1, b'{"prompt": "b", "response": "c"}')
    assert run(world, **flags) == 2
    assert "inputs.queries was" in capsys.readouterr().err


def test_help_lists_every_kernel(capsys):
    for command in ("fidelity", "select", "plan"):
        with pytest.raises(SystemExit):
            main([command, "--help"])
        text = capsys.readouterr().out
        assert all(name in text for name, _ in kernel_summaries())
