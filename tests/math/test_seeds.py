from ntkjax.math.seeds import stream


def test_each_use_of_a_seed_has_its_own_stream():
    uses = ("queries", "candidates", "probes", "resamples", "cosine tokens")
    drawn = {stream(seed, use) for seed in (0, 1, 2) for use in uses}
    assert len(drawn) == 15
    assert stream(1, "probes") == stream(1, "probes")
