"""The three verbs on an output function: gram, directional, features."""
