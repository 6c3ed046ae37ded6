"""Fine-tuning of θ, masked or not: order, optimizer, loop, checkpoints."""
