"""Scores of checkpoints: what runs ``evaluation/`` and collects its tables."""
