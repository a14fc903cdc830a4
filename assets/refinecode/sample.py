"""Sample: keep each language within its byte budget (paper 2.1.1, sampling).

The budgets come from a plan table (made in SQL). Within a language documents are taken in the
order of a hash of seed and id, so that a larger budget always keeps what a smaller one kept.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from assets.refinecode.mapping import drop_documents, read_documents

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

STAGE = "sampled_corpus"
VERSION = "1"


class PlanError(ValueError):
    """The sampling plan does not fit the documents."""


def run(out: Path, *, documents: Path, plan: Path, seed: int, spark: SparkSession) -> None:
    """Fill ``out/documents`` and ``out/decisions``.

    ``plan`` holds parquet files with the columns language (string) and budget_bytes (int64, null
    for no limit), one row a language; a language outside the plan has no limit. A document is kept
    while the bytes of its language up to and including it are within the budget. Raises
    ``PlanError`` for a plan with other columns, with a language twice, or with a negative budget.
    """
    from pyspark.sql import Window
    from pyspark.sql import functions as F

    budgets = spark.read.parquet(str(plan))
    missing = {"language", "budget_bytes"} - set(budgets.columns)
    if missing:
        raise PlanError(f"{plan}: expected columns language and budget_bytes, found "
                        f"{budgets.columns}; build the dbt sampling plan again")  # fmt: skip
    rows = [(r["language"], r["budget_bytes"]) for r in
            budgets.select("language", "budget_bytes").collect()]  # fmt: skip
    languages = [language for language, _ in rows]
    twice = sorted({name for name in languages if languages.count(name) > 1})
    negative = sorted(name for name, budget in rows if budget is not None and budget < 0)
    if twice or negative:
        raise PlanError(f"{plan}: expected one budget of at least 0 a language, found "
                        f"{twice or negative} {'twice' if twice else 'negative'}")  # fmt: skip

    frame = read_documents(spark, documents)
    order = F.sha2(F.concat(F.lit(f"{seed}:"), F.col("doc_id")), 256)
    limited = frame.select("doc_id", "language", "size_bytes").join(
        budgets.where(F.col("budget_bytes").isNotNull()).select(
            "language", F.col("budget_bytes").cast("bigint")
        ),
        "language",
    )
    window = Window.partitionBy("language").orderBy(order, "doc_id").rowsBetween(
        Window.unboundedPreceding, Window.currentRow
    )  # fmt: skip
    running = limited.withColumn("_bytes", F.sum("size_bytes").over(window))
    over = running.where(F.col("_bytes") > F.col("budget_bytes"))
    drops = over.select(
        "doc_id",
        F.lit("over_budget").alias("reason"),
        F.concat(F.lit("budget_bytes="), F.col("budget_bytes").cast("string")).alias("detail"),
    )
    drop_documents(spark, frame, drops, out, STAGE)
