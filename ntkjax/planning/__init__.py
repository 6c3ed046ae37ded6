"""Checks before a run: doctor."""
