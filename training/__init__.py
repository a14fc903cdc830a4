"""Training: tokenizer, token shards, pretraining, annealing and instruction tuning.

A plain library and command line (`python -m training COMMAND --config FILE`) that knows nothing of
the orchestrator: it reads parquet documents and a config file, and leaves a Hugging Face folder,
the trainer state and a summary. Paper: sections 3 (pretraining, annealing) and 4 (SFT).
"""
