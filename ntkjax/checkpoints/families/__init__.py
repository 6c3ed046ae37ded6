"""Which model families are read, and what their config keys mean."""
