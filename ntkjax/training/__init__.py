"""LoRA fine-tuning: order of the data, optimizer, loop, checkpoints."""
