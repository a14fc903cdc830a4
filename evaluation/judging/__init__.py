"""What counts as right: comparison of values outside the model's process, EvalPlus's rules."""
