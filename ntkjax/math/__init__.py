"""Sketches, ranks and correlations, bootstrap: plain arrays, no model."""
