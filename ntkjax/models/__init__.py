"""Tokens to hidden states; LoRA; Hugging Face weights and PEFT adapters."""
