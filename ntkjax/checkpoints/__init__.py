"""Files of models: Hugging Face weights, PEFT adapters, masks, tokenizers."""
