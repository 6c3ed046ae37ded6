"""Chats: messages, templates of tokenizers, and which tokens are targets."""
