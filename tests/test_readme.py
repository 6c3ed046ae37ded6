"""The code of README and docs runs, flags exist, numbers are those of the results."""

import json
import re
import shlex
import shutil

import pytest

from benchmarks.readme import PAGES, ROOT, rewritten
from ntkjax.checkpoints.embedded import EMBEDDED_MODEL
from ntkjax.cli.main import COMMANDS, main
from ntkjax.data.world import make_world, write_world
from tests.data.chat.templates import CHATML


README = "".join(path.read_text(encoding="utf-8") for path in PAGES)
BLOCKS = re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


SHOWN = [
    shlex.split(line, comments=True)[3:]
    for block in re.findall(r"^```sh\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    for line in block.replace("\\\n", " ").replace("&& ", "\n").splitlines()
    if "uv run ntkjax" in line
]


CHANGES = {
    "path/to/llama": "embedded",
    "path/to/model": "chat-model",
    "1000": "100",
    "2000": "200",
}


@pytest.mark.slow
def test_python_blocks_run():
    assert BLOCKS
    names: dict = {}
    for block in BLOCKS:
        exec(block, names)
    assert names["kernel"].shape == (4, 9)
    assert names["short"].shape == (9, 3, 64)
    assert names["language_kernel"].shape == (3, 3)


@pytest.mark.slow
def test_commands_run(tmp_path, monkeypatch, capsys):
    """Each on the embedded model and a part of a small world; not the demo.

    They are as they stand, but for a tenth of the budgets.
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JAX_NUM_CPU_DEVICES", "2")
    write_world(make_world(0), tmp_path)
    files = {"domain": "legal_train", "test": "legal_eval", "general": "medical_eval"}
    for name, file in files.items():
        (tmp_path / f"{file}.jsonl").rename(tmp_path / f"{name}.jsonl")
    name_groups(tmp_path / "domain.jsonl")
    write_chats(tmp_path)
    pool = (tmp_path / "pool.jsonl").read_bytes().splitlines(keepends=True)
    (tmp_path / "pool.jsonl").write_bytes(b"".join(pool[:300]))
    ran = []
    for words in SHOWN:
        if words[0] != "demo":
            words = [CHANGES.get(word, word) for word in words]
            assert main(words) == 0, capsys.readouterr().err
            ran.append(words[0])
    assert ran == [
        *("select", "train", "evaluate"),
        *("data", "train"),
        *("select", "select"),
        *("select", "train", "mask"),
        "select",
        *("plan", "fidelity"),
    ]
    assert len((tmp_path / "runs/select/selected.jsonl").read_bytes().split(b"\n")) > 9


def write_chats(folder):
    """A few records as chats, and the embedded model with a chat template."""
    lines = (folder / "domain.jsonl").read_text().splitlines()[:8]
    pairs = [(r["prompt"], r["response"]) for r in map(json.loads, lines)]
    chats = [
        {
            "messages": [
                {"role": "user", "content": prompt},
                {"role": "assistant", "content": response},
            ]
        }
        for prompt, response in pairs
    ]
    (folder / "chats.jsonl").write_text("".join(json.dumps(c) + "\n" for c in chats))
    model = folder / "chat-model"
    shutil.copytree(EMBEDDED_MODEL, model)
    config = json.loads((model / "tokenizer_config.json").read_text())
    config["chat_template"] = CHATML
    (model / "tokenizer_config.json").write_text(json.dumps(config))


def name_groups(path):
    """Adds the field `group`, two groups in turn."""
    records = [json.loads(line) for line in path.read_text().splitlines()]
    named = [r | {"group": "ab"[number % 2]} for number, r in enumerate(records)]
    path.write_text("".join(json.dumps(record) + "\n" for record in named))


def test_flags_exist(capsys):
    known = "--help --config --version"
    for command in COMMANDS:
        with pytest.raises(SystemExit) as stop:
            main([command, "--help"])
        assert stop.value.code == 0
        known += capsys.readouterr().out
    words = set(re.findall(r"--[a-z][a-z.-]+", README))
    unknown = {word for word in words if word not in known}
    assert unknown <= {"--extra", "--no-sync"}, unknown  # of uv


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_tables_are_those_of_the_results_files(path):
    text = path.read_text(encoding="utf-8")
    assert rewritten(text) == text


@pytest.mark.parametrize(
    "path", [*PAGES, ROOT / "CONTRIBUTING.md"], ids=lambda path: path.name
)
def test_links_point_to_files(path):
    text = path.read_text(encoding="utf-8")
    for target, _, section in re.findall(r"\]\(([^)#:]*)(#([^)]*))?\)", text):
        page = path.parent / target if target else path
        assert page.exists(), target
        if section:
            titles = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
            assert section in [
                re.sub(r"[^\w -]", "", t.lower()).replace(" ", "-") for t in titles
            ]
