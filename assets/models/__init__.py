"""Tokenizer, token shards and checkpoints: what launches ``training/`` and keeps its results."""
