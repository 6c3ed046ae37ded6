import subprocess
import sys
import threading

import filelock
import pytest
from etils import epath

from ntkjax.errors import InputError
from ntkjax.store.run_lock import in_turn, locked


HOLD = """
import pathlib, sys
from ntkjax.store.run_lock import locked
with locked(pathlib.Path(sys.argv[1]), "1-of-1"):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_process_is_kept_out_until_the_first_is_dead(tmp_path):
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with (
            pytest.raises(InputError, match="another process works in it"),
            locked(tmp_path, "1-of-1"),
        ):
            pass
        with locked(tmp_path, "2-of-3"):  # another job
            pass
        holder.kill()
    with locked(tmp_path, "1-of-1"):
        pass
    with locked(tmp_path, "1-of-1"):  # it was let go
        pass


def test_where_there_are_no_locks_nobody_is_kept_out(tmp_path, monkeypatch):
    def refuse(*args, **kwargs):
        raise OSError("no locks available")

    monkeypatch.setattr(filelock.FileLock, "acquire", refuse)
    with locked(tmp_path, "1-of-1"):
        pass
    with locked(epath.Path("gs://bucket/run"), "1-of-1"):
        pass


def test_one_after_the_other(tmp_path):
    path, said, order = tmp_path / "below" / ".work.lock", [], []
    waits = threading.Event()

    def second():
        with in_turn(path, waits.set):
            order.append("second")

    with in_turn(path, lambda: said.append("first waits")):
        thread = threading.Thread(target=second)
        thread.start()
        assert waits.wait(60)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]
    assert not said
    assert not path.exists()


def test_where_there_are_no_locks_nobody_waits(tmp_path, monkeypatch):
    def refuse(*args, **kwargs):
        raise OSError("no locks available")

    monkeypatch.setattr(filelock.FileLock, "acquire", refuse)
    for path in (tmp_path / "lock", epath.Path("gs://bucket/lock")):
        with in_turn(path, lambda: pytest.fail("waits")):
            pass
