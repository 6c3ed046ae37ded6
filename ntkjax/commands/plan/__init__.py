"""`ntkjax plan`: memory, time and disk of a selection before it runs."""
