"""Tokens to hidden states: the decoder, LoRA, and how weights are cut."""
