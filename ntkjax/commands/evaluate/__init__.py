"""`ntkjax evaluate`: likelihoods, choices and answers of a model."""
