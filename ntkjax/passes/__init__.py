"""One program over many examples: batches, embeddings, sums, products, sketches."""
