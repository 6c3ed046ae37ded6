"""Measurements of the library itself: run from the project's root, never installed."""
