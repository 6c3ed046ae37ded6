import platform

import jax
import jaxlib
import numpy as np

import ntkjax
from ntkjax.runs import environment


def test_versions_are_those_that_run():
    found = environment.versions()
    assert list(found) == ["python", *environment.PACKAGES]
    assert found["python"] == platform.python_version()
    assert found["jax"] == jax.__version__
    assert found["jaxlib"] == jaxlib.__version__
    assert found["numpy"] == np.__version__
    assert "torch" not in found
    assert ntkjax.__name__ in found


def test_device_counts_the_local_ones():
    count = len(jax.local_devices())
    kind = jax.local_devices()[0].device_kind
    assert environment.device().startswith(f"{count} × {kind} ")


def test_precision_is_that_of_the_products():
    assert environment.precision() == "float32 matrix products"
