"""The page, the tables and the words of `ntkjax select`."""
