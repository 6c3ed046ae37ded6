"""What every run has: its protocol, a model, a mesh, progress, its environment."""
