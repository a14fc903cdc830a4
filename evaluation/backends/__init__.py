"""Where answers come from: a transformers model, vLLM, or an OpenAI-compatible endpoint.

A backend says which samples are decoded together (`batches`) and decodes them (`run`); caching,
resuming and stop strings are the caller's (`evaluation.generation`).
"""

from evaluation.backends.base import Backend, Job, open_backend

__all__ = ["Backend", "Job", "open_backend"]
