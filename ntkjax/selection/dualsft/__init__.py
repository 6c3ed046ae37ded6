"""DualSFT (arXiv 2605.06166): data and parameters from one matrix of gradients."""
