"""Seeds: one number of the user's, a stream of draws of its own for each use."""

import zlib

import numpy as np


def stream(seed: int, use: str) -> int:
    """A seed of its own for each use, so that no two uses share their draws."""
    entropy = [seed, zlib.crc32(use.encode())]
    return int(np.random.SeedSequence(entropy).generate_state(1)[0])
