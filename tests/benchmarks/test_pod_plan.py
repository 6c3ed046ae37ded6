import pytest

from benchmarks import pod_plan


@pytest.mark.slow
def test_the_page_is_not_stale():
    assert pod_plan.main(["--check"]) == 0


@pytest.mark.slow
def test_a_stale_page_is_found(tmp_path, monkeypatch, capsys):
    page = tmp_path / "pod-plan.md"
    page.write_text(pod_plan.PAGE.read_text().replace("| v5e-16 |", "| v4-16 |"))
    monkeypatch.setattr(pod_plan, "PAGE", page)
    assert pod_plan.main(["--check"]) == 1
    assert "pod-plan.md is stale" in capsys.readouterr().out
    assert pod_plan.main([]) == 0
    assert pod_plan.main(["--check"]) == 0
