"""`ntkjax train`: LoRA or all weights, fine-tuned."""
