"""The named kernels: which probes, with which weights."""
