"""Evaluation of code models: benchmarks, generation, a sandbox for untrusted code, metrics.

A plain library and command line (`python -m evaluation`): a checkpoint in, trustworthy scores out.
It imports no orchestrator, and torch only inside the functions that need it (paper section 5).
"""
