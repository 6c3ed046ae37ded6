import jax
import numpy as np
import pytest

from ntkjax.commands.doctor import self_checks as doctor
from ntkjax.commands.doctor.self_checks import Check, Report, examine


NAMES = [
    "Jacobian, jitted against un-jitted, 1 × 64 tokens",
    "Jacobian, jitted against un-jitted, 2 × 32 tokens",
    "directional against gram",
    "float32 matrix product against float64",
    "sketched product against the plain one",
]


@pytest.fixture
def one_device(monkeypatch):
    """The first device alone: both are the same CPU, at half a minute each."""
    devices = jax.local_devices()[:1]
    monkeypatch.setattr(jax, "local_devices", lambda: devices)
    return devices[0]


@pytest.mark.slow
def test_every_check_passes_here(one_device):
    report = examine()
    assert [check.name for check in report.checks] == [
        f"{one_device}: {name}" for name in NAMES
    ]
    assert [check for check in report.checks if not check.passed] == []
    assert report.passed
    assert report.advice == ""
    assert {"python", "jax", "jaxlib", "device", "precision"} <= report.facts.keys()


# What jaxlib 0.10.2 did was at least 10% off; 1e-6 is another order of sums.
@pytest.mark.parametrize(
    ("change", "passed"),
    [
        (lambda x: x, True),
        (lambda x: x * (1 + 1e-6), True),
        (lambda x: x * 1.1, False),
        (lambda x: -x, False),
        (lambda x: np.where(np.arange(x.size) == 3, np.nan, x), False),
        (lambda x: np.where(np.arange(x.size) == 3, np.inf, x), False),
        (lambda x: np.full_like(x, np.nan), False),
        (lambda x: 0 * x, False),
    ],
)
def test_comparison(change, passed):
    expected = np.random.default_rng(0).normal(size=50)
    check = doctor._compare("numbers", change(expected), expected)
    assert check.passed is passed
    assert "relative difference" in check.detail


@pytest.mark.filterwarnings("ignore:divide by zero|invalid value:RuntimeWarning")
def test_numbers_that_are_all_zero_do_not_pass():
    zeros = np.zeros(5)
    assert not doctor._compare("numbers", zeros, zeros).passed
    assert not doctor._compare("numbers", zeros + 1, zeros).passed


def test_a_wrong_jitted_product_is_found(monkeypatch):
    """A machine that multiplies in bfloat16, as TPUs do by default."""
    device = jax.local_devices()[0]
    assert doctor._check_precision(device).passed
    right = jax.jit

    def wrong(f):
        return lambda *xs: right(f)(*(jax.lax.reduce_precision(x, 8, 7) for x in xs))

    monkeypatch.setattr(jax, "jit", wrong)
    check = doctor._check_precision(device)
    assert not check.passed
    assert check.name == f"{device}: {NAMES[3]}"


@pytest.mark.slow
@pytest.mark.parametrize(
    "change", [lambda x: x * 0.5, lambda x: x * np.nan, lambda x: x * 0]
)
def test_a_wrong_sketch_is_found(monkeypatch, change):
    device = jax.local_devices()[0]
    right = doctor.shift_sketch

    def wrong(*arguments):
        sketch = right(*arguments)
        return lambda g: sketch(g) * change(np.float32(1))

    monkeypatch.setattr(doctor, "shift_sketch", wrong)
    with np.errstate(all="ignore"):
        check = doctor._check_sketch(device)
    assert check.passed is False
    assert check.name == f"{device}: {NAMES[4]}"


@pytest.mark.slow
def test_a_wrong_derivative_is_found(monkeypatch):
    """A jitted VJP that is off by 10%, as with jaxlib 0.10.2."""
    device = jax.local_devices()[0]
    right = jax.jit

    def wrong(f):
        return lambda *xs: jax.tree.map(lambda g: g * np.float32(1.1), right(f)(*xs))

    monkeypatch.setattr(jax, "jit", wrong)
    check = doctor._check_vjps(device, 1, 64)
    assert not check.passed
    assert "1.0e-01" in check.detail


@pytest.mark.parametrize("outcomes", [[True, True], [True, False], [False]])
def test_one_failed_check_fails_the_report(outcomes):
    report = Report({}, [Check(str(i), ok, "") for i, ok in enumerate(outcomes)])
    assert report.passed is all(outcomes)
    assert ("Install another jax" in report.advice) is not all(outcomes)


def test_another_remedy():
    failed = Report({}, [Check("a", False, "")], "Call a doctor.")
    assert failed.advice == "Call a doctor."
