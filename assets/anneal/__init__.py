"""Annealing data: algorithmic documents and snippets that really pass their own tests."""
