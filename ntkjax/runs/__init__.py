"""What every run has: a directory, a model, a mesh, progress, its environment."""
