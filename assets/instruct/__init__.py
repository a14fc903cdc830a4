"""Instruction data for the two tuning stages, free of benchmark items."""
