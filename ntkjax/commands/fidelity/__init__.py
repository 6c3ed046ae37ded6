"""`ntkjax fidelity`: exact against approximate kernels."""
