"""`ntkjax data`: what a model reads of files."""
