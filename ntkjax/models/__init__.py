"""Tokens to hidden states; LoRA; Hugging Face weights, PEFT adapters, masks."""
