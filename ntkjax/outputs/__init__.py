"""Hidden states to the scalars f(θ, x): pooling, probes, loss."""
