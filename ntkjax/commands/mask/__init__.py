"""`ntkjax mask`: which parameters to train, from the scores of a selection."""
