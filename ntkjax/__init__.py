"""Exact and approximate neural tangent kernels of LoRA-adapted language models."""
