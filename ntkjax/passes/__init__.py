"""One program over many examples: embeddings, sums, products, sketches, likelihoods."""
