import jax

from ntkjax.commands.plan.costs.probe import copy_rate, product_rate


def test_rates_are_those_of_a_machine():
    device = jax.local_devices()[:1]
    assert 1e8 < product_rate(device) < 1e14
    assert 1e8 < copy_rate(device) < 1e13
