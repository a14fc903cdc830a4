"""Families of artifacts: pure stages, and one thin Dagster-aware ``assets.py`` per family."""
