import json
import subprocess
import sys

import pytest

from benchmarks import records


def test_absent_shared_folder_is_one_plain_line(tmp_path):
    with pytest.raises(records.NotMeasured, match="NTKJAX_SHARED"):
        records.shared_folder(tmp_path)


def test_shared_folder_from_the_environment(tmp_path, monkeypatch):
    for part in ("models", "data"):
        (tmp_path / part).mkdir()
    monkeypatch.setenv("NTKJAX_SHARED", str(tmp_path))
    assert records.shared_folder() == tmp_path


@pytest.mark.parametrize(
    ("changed", "dirty"),
    [
        ("", False),
        ("?? benchmarks/results/ranking.json\n", False),
        (" M ntkjax/math/ranking.py\n", True),
        ("R  benchmarks/results/a.json -> b.json\n", True),
    ],
)
def test_commit_says_when_files_outside_results_changed(monkeypatch, changed, dirty):
    answers = {"rev-parse": "abc\n", "status": changed}
    monkeypatch.setattr(records, "_git", lambda word, *rest: answers[word])
    assert records.commit() == ("abc-dirty" if dirty else "abc")


def test_commit_without_git(monkeypatch):
    def absent(*words):
        raise FileNotFoundError

    monkeypatch.setattr(records, "_git", absent)
    assert records.commit() == "unknown"


def test_written_result_names_no_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["x", "--quick", "--out", str(tmp_path)])
    result = records.record("ranking", {"seeds": 2}, 1.26, {"rows": []})
    path = records.write(result, "<svg/>\n", tmp_path)
    text = path.read_text(encoding="utf-8")
    assert json.loads(text)["command"] == "python -m benchmarks.ranking --quick"
    assert str(tmp_path) not in text
    assert str(records.ROOT) not in text
    assert (tmp_path / "ranking.svg").read_text(encoding="utf-8") == "<svg/>\n"


@pytest.mark.slow
@pytest.mark.parametrize("module", ["cross_terms", "ranking"])
def test_absent_shared_folder_ends_with_2(module, tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{module}", "--shared", str(tmp_path)],
        cwd=records.ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith(f"benchmarks.{module}: no models in")


def test_a_module_writes_what_it_measured_or_says_why_not(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(records, "RESULTS", tmp_path / "results")
    assert records.run("small", {"size": 1}, lambda: {"speed": 2}) == 0
    written = json.loads((tmp_path / "results" / "small.json").read_text())
    assert (written["benchmark"], written["settings"]) == ("small", {"size": 1})
    assert written["speed"] == 2

    def refuse():
        raise records.NotMeasured("no models here.")

    assert records.run("other", {}, refuse) == 2
    assert capsys.readouterr().err == "benchmarks.other: no models here.\n"
    assert not (tmp_path / "results" / "other.json").exists()
