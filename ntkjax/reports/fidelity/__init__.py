"""The page and the tables of `ntkjax fidelity`."""
