"""Which of several duplicates stays (paper 2.1.1), for every engine.

Most stars, then the latest commit, then the smallest doc_id. Where stars are unknown the popularity
percentile stands in, and known stars come before unknown ones.
"""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

#: The percentile of files whose stars are unknown, null for others.
STAND_IN = "stand_in"
#: Columns in the order in which they decide, best first; nulls come last (Arrow's default).
KEEP_RULE: tuple[tuple[str, Literal["ascending", "descending"]], ...] = (
    ("stars", "descending"),
    (STAND_IN, "descending"),
    ("commit_time", "descending"),
    ("doc_id", "ascending"),
)


def keep_ranks(facts: pa.Table) -> npt.NDArray[np.int64]:
    """int64 [rows]: the place of each row in the order of the keep rule, 0 the best.

    Needs the columns stars, popularity_percentile, commit_time, doc_id.
    """
    percentile = facts["popularity_percentile"]
    percentile = pc.if_else(pc.is_nan(percentile), np.inf, percentile)  # as Spark orders it
    unknown = pc.is_null(facts["stars"])
    stand_in = pc.if_else(unknown, percentile, pa.scalar(None, pa.float64()))
    table = facts.select(["stars", "commit_time", "doc_id"]).append_column(STAND_IN, stand_in)
    order = pc.sort_indices(table, sort_keys=KEEP_RULE).to_numpy()
    ranks = np.empty(len(order), np.int64)
    ranks[order] = np.arange(len(order))
    return ranks


def duplicate_detail(survivor: str, jaccard: float) -> str:
    """What a decision says of a duplicate; rounded as Spark's ``format_string`` rounds.

    >>> duplicate_detail("a", 1 / 32)
    'duplicate_of=a jaccard=0.0313'
    """
    alike = Decimal(repr(jaccard)).quantize(Decimal("0.0001"), ROUND_HALF_UP)
    return f"duplicate_of={survivor} jaccard={alike}"
