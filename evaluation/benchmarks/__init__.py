"""One module per benchmark; adding a module here adds the benchmark, nothing else to edit.

A benchmark module defines BENCHMARKS, instances of `base.Benchmark`. The registry finds them by
walking this package. Benchmark data is not part of the project: see `data.py`.
"""

from evaluation.benchmarks.base import Benchmark, Context, Result, registry, select

__all__ = ["Benchmark", "Context", "Result", "registry", "select"]
