from ntkjax.store import polling
from ntkjax.store.polling import wait_until


def test_it_looks_until_the_condition_holds(monkeypatch):
    pauses = []
    monkeypatch.setattr(polling.time, "sleep", pauses.append)
    answers = iter([False, False, True])
    wait_until(lambda: next(answers))
    assert len(pauses) == 2
    assert next(answers, None) is None
