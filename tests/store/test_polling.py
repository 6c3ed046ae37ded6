from ntkjax.store import polling
from ntkjax.store.polling import is_seen_within, wait_until


def test_it_looks_until_the_condition_holds(monkeypatch):
    pauses = []
    monkeypatch.setattr(polling.time, "sleep", pauses.append)
    answers = iter([False, False, True])
    wait_until(lambda: next(answers))
    assert len(pauses) == 2
    assert next(answers, None) is None


def test_a_path_that_appears(tmp_path, monkeypatch):
    path = tmp_path / "late"
    assert not is_seen_within(path, 0.0)
    monkeypatch.setattr(polling.time, "sleep", lambda pause: path.touch())
    assert is_seen_within(path, 60.0)
    path.unlink()
    monkeypatch.setattr(polling.time, "sleep", lambda pause: None)
    clock = iter([0.0, 5.0, 61.0])
    monkeypatch.setattr(polling.time, "monotonic", lambda: next(clock))
    assert not is_seen_within(path, 60.0)
