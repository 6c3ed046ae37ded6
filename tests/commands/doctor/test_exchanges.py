import time

import jax
import pytest

from ntkjax.commands.doctor import exchanges
from ntkjax.commands.doctor.exchanges import NoAnswer, exchange, first_line, limited


WHO = "process 1 (host alpha)"


@pytest.fixture
def ended(monkeypatch):
    """Exit codes with which this process would have ended."""
    codes = []
    monkeypatch.setattr(exchanges.os, "_exit", codes.append)
    return codes


def test_what_is_done_in_time_goes_on(ended, capsys):
    with exchange("a sum", 0.2, WHO):
        pass
    time.sleep(0.4)
    assert ended == []
    assert capsys.readouterr().err == ""


def test_what_takes_too_long_ends_the_process(ended, capsys):
    with limited("a sum", 0.1, WHO):
        time.sleep(0.5)
    assert ended == [1]
    said = capsys.readouterr().err
    assert said.startswith(f"ntkjax: {WHO}: the step 'a sum' did not end within 0 s; ")
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    "reason",
    [
        "FAILED_PRECONDITION: Gloo all-reduce failed: [...] Connection closed by peer "
        "[127.0.0.1]:4711",
        "UNKNOWN: Read error: Connection reset by peer\nmore",
    ],
)
def test_a_peer_that_hung_up_is_lost(reason):
    with pytest.raises(NoAnswer) as found, exchange("a sum", 60.0, WHO):
        raise jax.errors.JaxRuntimeError(reason)
    assert found.value.code == 75
    assert str(found.value) == (
        f"{WHO}: lost another process in the step 'a sum' "
        f"({reason.splitlines()[0]}); run the same command again."
    )


def test_another_error_fails_when_nobody_was_lost():
    begin = time.monotonic()
    with pytest.raises(NoAnswer) as found, exchange("a sum", 0.3, WHO):
        raise jax.errors.JaxRuntimeError("Gloo connect timeout")
    assert found.value.code == 1
    assert "no process was lost (Gloo connect timeout)" in str(found.value)
    assert time.monotonic() - begin >= 0.3  # JAX may name a lost one meanwhile


def test_defects_pass_through():
    with pytest.raises(KeyError), exchange("a sum", 60.0, WHO):
        raise KeyError("a")


def test_first_line():
    assert first_line(ValueError("\none\ntwo")) == "one"
