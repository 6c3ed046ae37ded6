"""What a model can do: likelihoods, choices, greedy answers, and their intervals."""
