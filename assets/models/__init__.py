"""Tokenizer, token shards and checkpoints: what launches ``training/`` and keeps what it returns."""
