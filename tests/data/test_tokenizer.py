import logging
import subprocess
import sys

import pytest

from ntkjax.data.tokenizer import load_tokenizer, vocabulary_size
from ntkjax.errors import InputError


def test_a_saved_tokenizer_is_loaded(save_tokenizer):
    tokenizer = load_tokenizer(save_tokenizer(merges=[("a", "b")]))
    encoded = tokenizer("cab", return_offsets_mapping=True)
    assert tokenizer.decode(encoded["input_ids"]) == "cab"
    assert encoded["offset_mapping"] == [(0, 1), (1, 3)]
    assert vocabulary_size(tokenizer) == 4 + 256 + 1


@pytest.mark.parametrize(("name", "size"), [("stories260k", 512), ("base4m", 4096)])
def test_real_tokenizers(shared, name, size):
    tokenizer = load_tokenizer(shared / "models" / name)
    assert vocabulary_size(tokenizer) == size
    assert tokenizer.decode(tokenizer("Once upon")["input_ids"]).endswith("Once upon")


def test_vocabulary_size_counts_added_tokens(save_tokenizer):
    tokenizer = load_tokenizer(save_tokenizer(alphabet=["a", "b"]))
    tokenizer.add_tokens(["<extra>"])
    assert vocabulary_size(tokenizer) == 4 + 2 + 1


def test_loading_says_nothing(save_tokenizer):
    code = (
        "import pathlib, sys; from ntkjax.data.tokenizer import load_tokenizer; "
        "assert 'transformers' not in sys.modules; "
        f"load_tokenizer(pathlib.Path({str(save_tokenizer())!r}))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")


def test_loading_leaves_logging_as_it_was(save_tokenizer, tmp_path):
    before = logging.root.manager.disable
    load_tokenizer(save_tokenizer())
    (tmp_path / "tokenizer.json").unlink()
    with pytest.raises(InputError, match="tokenizer"):
        load_tokenizer(tmp_path)
    assert logging.root.manager.disable == before


def test_missing_folder_is_named(tmp_path):
    with pytest.raises(InputError, match=r"none: no such folder; expected one with"):
        load_tokenizer(tmp_path / "none")


def test_empty_folder_is_named(tmp_path):
    with pytest.raises(InputError, match=r"the tokenizer cannot be loaded \(ValueErr"):
        load_tokenizer(tmp_path)


@pytest.mark.parametrize("name", ["tokenizer.json", "tokenizer_config.json"])
@pytest.mark.parametrize("content", [b"", b"[]", b'{"version": ', b"\xff\xfe"])
def test_damaged_files_are_named(save_tokenizer, name, content):
    folder = save_tokenizer()
    (folder / name).write_bytes(content)
    with pytest.raises(InputError, match=r"the tokenizer cannot be loaded") as caught:
        load_tokenizer(folder)
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_tokenizer_with_code_is_not_run(save_tokenizer):
    folder = save_tokenizer()
    (folder / "evil.py").write_text("raise SystemExit('code was run')")
    (folder / "tokenizer_config.json").write_text(
        '{"auto_map": {"AutoTokenizer": [null, "evil.Evil"]}, "tokenizer_class": "E"}'
    )
    with pytest.raises(InputError, match=r"cannot be loaded \(ValueError: .*code"):
        load_tokenizer(folder)


def test_a_config_without_vocabulary_is_refused(tmp_path):
    config = tmp_path / "tokenizer_config.json"
    config.write_text('{"tokenizer_class": "LlamaTokenizer"}')
    with pytest.raises(InputError, match=r"no vocabulary; expected tokenizer\.json"):
        load_tokenizer(tmp_path)


def test_a_slow_tokenizer_is_refused(tmp_path):
    config = tmp_path / "tokenizer_config.json"
    config.write_text('{"tokenizer_class": "ByT5Tokenizer"}')
    with pytest.raises(InputError, match=r"ByT5Tokenizer is not a fast tokenizer"):
        load_tokenizer(tmp_path)
