"""Local devices, the data mesh, matmul precision."""
