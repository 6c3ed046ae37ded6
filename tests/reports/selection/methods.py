"""What each method may say of a run: `method_facts` of `selection.json`."""

ROUNDS = [
    {
        "round": 0,
        "I1": 0.0123,
        "I2": 0.0121,
        "jaccard_data": None,
        "jaccard_parameters": None,
    },
    {
        "round": 1,
        "I1": 0.0131,
        "I2": 0.0128,
        "jaccard_data": 0.42,
        "jaccard_parameters": 0.875,
    },
    {
        "round": 2,
        "I1": 0.0131,
        "I2": 0.0128,
        "jaccard_data": 1.0,
        "jaccard_parameters": 1.0,
    },
]

FACTS = {
    "ntk": {
        "kernel": "summed",
        "probes": 1,
        "readout": "linear head",
        "padded_rows": 0,
    },
    "dualsft": {
        "lambda_new": 1.0,
        "lambda_prior": 0.2,
        "kappa": 1.0,
        "curvature": "adam",
        "validation_examples": 200,
        "new_gradient_norm": 0.731,
        "anchors": 256,
        "mean_confidence": 0.613,
        "prior_gradient_norm": 0.0412,
        "first_order_norm": 0.734,
        "second_order_norm": 0.0151,
        "second_to_first": 0.0151 / 0.734,
        "mean_gradient_norm": 0.512,
        "num_parameters": 122880,
        "mask_parameters": 12288,
        "num_chosen": 100,
        "completeness": {
            "columns": 0.0098765,
            "rows": 0.0098766,
            "difference": 1e-7,
        },
        "order": "parameters-first",
        "I1": 0.0131,
        "I2": 0.0128,
        "rounds": ROUNDS,
    },
    "less": {
        "checkpoints": 3,
        "learning_rate_weights": [0.5, 0.375, 0.125],
        "gradient": {
            "kind": "adam",
            "epsilon_inside_root": True,
            "bias_correction": False,
        },
        "sketch": {"kind": "shift", "size": 8192},
    },
    "rds": {"pooling": "weighted", "queries": "target examples", "num_queries": 200},
    "dsir": {
        "buckets": 10_000,
        "sample": True,
        "log_weight_mean": -31.4,
        "log_weight_std": 20.25,
    },
    "vote": {"pooling": "all", "neighbors": 100},
    "embedding": {"pooling": "all"},
    "gradient-dot": {"target_gradient_norm": 0.731},
    "cosine": {"zero_gradients": 0},
    "fisher": {"fisher_examples": 256, "damping": 0.1, "target_gradient_norm": 0.731},
    "loss": {"mean_loss": 3.25},
    "random": {},
    "length-matched": {
        "edges": [4, 9, 30],
        "target_mean_tokens": 12.5,
        "candidates_mean_tokens": 40.25,
    },
}
"""By method."""

WARMUPS = {
    "target": ("ntk",),
    "pool": ("dualsft", "less", "gradient-dot", "cosine", "fisher"),
    "none": ("rds", "dsir", "vote", "embedding", "loss", "random", "length-matched"),
}
"""Methods by the warm-up that they have by default."""
