import jax
import pytest

from ntkjax.cli.main import main
from ntkjax.commands.doctor import self_checks as doctor
from ntkjax.commands.doctor.self_checks import Check


@pytest.fixture
def quick(monkeypatch):
    """One device, and the Jacobians' shapes small: the checks take a second each."""
    devices = jax.local_devices()[:1]
    monkeypatch.setattr(jax, "local_devices", lambda: devices)
    monkeypatch.setattr(doctor, "_SHAPES", ((1, 2),))
    # compiling both modes takes ten seconds; test_self_checks.py runs this check
    monkeypatch.setattr(
        doctor,
        "_check_verbs",
        lambda device: Check(f"{device}: directional against gram", True, "skipped"),
    )
    return devices[0]


@pytest.mark.slow
def test_all_checks_are_named_and_pass(quick, capsys):
    assert main(["doctor"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    lines = out.splitlines()
    for fact in ("python", "jax", "jaxlib", "flax", "device", "precision"):
        assert any(line.startswith(f"{fact} ") for line in lines), fact
    checks = [line for line in lines if line.startswith("ok  ")]
    assert len(checks) == 4
    for check, name in zip(
        checks, ("Jacobian", "directional", "matrix product", "sketched"), strict=True
    ):
        assert check.startswith(f"ok   {quick}: ")
        assert name in check
    assert "FAIL" not in out
    assert "Install" not in out


@pytest.mark.slow
def test_a_failed_check_ends_with_1_and_advice(quick, capsys, monkeypatch):
    right = doctor._flat
    calls = []

    def wrong(tree):
        calls.append(tree)
        return right(tree) * (1.1 if len(calls) % 2 else 1.0)  # the jitted one

    monkeypatch.setattr(doctor, "_flat", wrong)
    assert main(["doctor"]) == 1
    out, err = capsys.readouterr()
    assert err == ""
    (failed,) = [line for line in out.splitlines() if line.startswith("FAIL")]
    assert "Jacobian, jitted against un-jitted" in failed
    assert "1.0e-01 (at most 1e-04)" in failed
    assert out.splitlines()[-1].startswith("This installation computes wrong numbers")
    assert "jaxlib" in out.splitlines()[-1]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--out", "run"], "--out says nothing without --distributed auto."),
        (["--mesh", "data=2"], "--mesh says nothing without --distributed auto."),
        (
            ["--coordinator-address", "h:1", "--num-processes", "2"],
            "--coordinator-address says nothing without --distributed auto.",
        ),
        (
            ["--distributed", "auto", "--coordinator-address", "h:1"],
            "--num-processes is missing",
        ),
        (["--distributed", "yes"], "--distributed yes: expected one of auto, off."),
        (["--distributed", "auto", "--mesh", "x=2"], "--mesh x=2: expected auto"),
        (["--distributed", "auto"], "JAX finds no cluster here"),
    ],
)
def test_wrong_use(words, message, capsys):
    assert main(["doctor", *words]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err
    assert err.count("\n") == 1
