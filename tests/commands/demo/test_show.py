import pytest

from ntkjax.cli.main import main
from ntkjax.commands.demo import show as module
from ntkjax.runs.run import Outcome
from tests.reports.demo.run import demo_run


def test_it_prints_findings_and_where_the_page_is(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(module, "run_demo", lambda settings: Outcome(demo_run(), True))
    assert main(["demo", "--out", str(tmp_path / "d")]) == 0
    out = capsys.readouterr().out
    assert "selected + domain" in out
    assert f"report: {tmp_path / 'd' / 'report.html'} (finished before" in out


@pytest.mark.parametrize(
    ("flag", "value", "says"),
    [("--domain", "musical", "--domain musical"), ("--seeds", "1", "--seeds 1")],
)
def test_a_wrong_flag_is_one_line_and_exit_code_2(capsys, tmp_path, flag, value, says):
    assert main(["demo", "--out", str(tmp_path / "d"), flag, value]) == 2
    err = capsys.readouterr().err
    assert says in err
    assert err.count("\n") == 1
    assert not (tmp_path / "d").exists()
