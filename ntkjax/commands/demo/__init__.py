"""`ntkjax demo`: all of it on the embedded model."""
