"""Run directories and atomic files: no model."""
