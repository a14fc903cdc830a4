"""Repairs before filtering: licence headers are cut, personal data is masked (paper 2.1.1)."""
