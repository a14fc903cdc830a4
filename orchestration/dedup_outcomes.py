"""What became of each row that was deduplicated, from the decisions of the stages.

The survivor of a row is the last one: that of an exact group may be dropped as a near-duplicate.
The similarity is then the one of that survivor, whose text the row has; where a near-duplicate's
survivor goes on to another, it is unknown.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from assets.documents import DROPPED, KEPT
from assets.refinecode.exact_dedup import REASON as EXACT
from assets.refinecode.local.tables import Tables

I64 = npt.NDArray[np.int64]

OUTCOME_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("verdict", pa.string()),
        ("reason", pa.string()),
        ("duplicate_of", pa.string()),  # the id of a row, or a repository
        ("similarity", pa.float64()),
        ("chunks", pa.string()),  # how many of how many were cut out of the text
    ]
)
_READ = ("doc_id", "repository", "language", "verdict", "reason", "detail")
_JUDGED = pa.schema(
    [
        ("doc_id", pa.string()),
        ("unit", pa.string()),  # what was compared: the document, or its repository
        ("stage", pa.int64()),
        ("verdict", pa.string()),
        ("reason", pa.string()),
        ("survivor", pa.string()),
        ("similarity", pa.float64()),
        ("chunks", pa.string()),
    ]
)
#: What a decision of a deduplication stage says: the survivor, the similarity to it, chunks cut.
DETAIL = (
    r"(?s)^duplicate_of=(?P<survivor>.*?)(?: jaccard=(?P<similarity>[0-9.]+))?"
    r"(?: chunks=(?P<chunks>[0-9]+/[0-9]+))?$"
)
DOC_ID = re.compile(r"[0-9a-f]{64}")
#: Rows that are written at a time.
_WRITTEN_ROWS = 1 << 14


@dataclass(frozen=True)
class Outcomes:
    """``entries`` (doc_id, id) are all rows, in order. ``told`` [rows] is the row of ``judged``
    that a row's last stage wrote of it, -1 where all stages kept it."""

    entries: pa.Table
    judged: pa.Table
    told: I64

    def places(self, verdict: str, stage: int | None = None) -> I64:
        """The places of the rows with this verdict (dropped, changed), in order."""
        wanted = pc.equal(self.judged["verdict"], verdict)
        if stage is not None:
            wanted = pc.and_(wanted, pc.equal(self.judged["stage"], stage))
        mask = np.append(wanted.to_numpy(), False)  # told is -1: the last
        return np.flatnonzero(mask[self.told])

    def doc_ids(self, places: I64) -> pa.ChunkedArray:
        return self.entries["doc_id"].take(pa.array(places))

    def write(self, out: Path) -> None:
        """Write a row (OUTCOME_SCHEMA) for each row, in order."""
        with pq.ParquetWriter(out, OUTCOME_SCHEMA, compression="zstd") as writer:
            for table in self._tables():
                writer.write_table(table)

    def _tables(self) -> Iterator[pa.Table]:
        judged, ids = self._followed(), self.entries["id"]
        for start in range(0, len(self.told), _WRITTEN_ROWS):
            own = slice(start, start + _WRITTEN_ROWS)
            rows = pa.array(self.told[own], mask=self.told[own] < 0)
            columns = {name: judged[name].take(rows) for name in judged.column_names}
            columns["id"] = ids.slice(start, _WRITTEN_ROWS)
            columns["verdict"] = columns["verdict"].fill_null(KEPT)
            columns["reason"] = columns["reason"].fill_null("")
            yield pa.table({name: columns[name] for name in OUTCOME_SCHEMA.names})

    def _followed(self) -> pa.Table:
        """``judged`` as it is told: with the last survivors."""
        judged = self.judged
        dropped = np.flatnonzero(pc.equal(judged["verdict"], DROPPED).to_numpy())
        gone = judged.select(["unit", "doc_id"]).take(pa.array(dropped))
        names = pa.chunked_array([*gone["unit"].chunks, *gone["doc_id"].chunks])
        found = pc.index_in(judged["survivor"], names).fill_null(-1).to_numpy()
        # Row i says that its survivor was dropped by row via[i]; the last row stands for no row.
        via = np.append(np.tile(dropped, 2), -1)[found]
        exact = pc.equal(judged["reason"], EXACT).to_numpy()
        alike = _ends(np.where(exact, via, -1))
        similarity = judged["similarity"].to_numpy()[alike]
        similarity[via[alike] >= 0] = np.nan
        survivor = judged["survivor"].take(pa.array(_ends(via)))
        row = pc.index_in(survivor, self.entries["doc_id"])
        return pa.table({
            "verdict": judged["verdict"],
            "reason": judged["reason"],
            "duplicate_of": pc.coalesce(self.entries["id"].take(row), survivor),
            "similarity": pa.array(similarity, from_pandas=True),
            "chunks": judged["chunks"],
        })  # fmt: skip


def read_outcomes(index: Path, stages: Sequence[Path]) -> Outcomes:
    """What the ``stages``, in order, decided of the rows of ``index`` (doc_id and id of each)."""
    entries = pq.read_table(index, columns=["doc_id", "id"])
    judged = pa.concat_tables([_JUDGED.empty_table(), *_judged(stages)]).combine_chunks()
    told = np.full(entries.num_rows, -1)
    place = pc.index_in(judged["doc_id"], entries["doc_id"]).to_numpy()
    by_stage = judged["stage"].to_numpy()
    for stage in range(len(stages)):
        rows = np.flatnonzero(by_stage == stage)
        told[place[rows]] = rows
    return Outcomes(entries, judged, told)


def _judged(stages: Sequence[Path]) -> Iterator[pa.Table]:
    """What was not kept whole, stage after stage (_JUDGED)."""
    for stage, folder in enumerate(stages):
        files = sorted((folder / "decisions").glob("*.parquet"))
        for _, batch in Tables(files).batches(_READ):
            batch = batch.filter(pc.not_equal(batch.column("verdict"), KEPT))
            detail = pc.extract_regex(batch.column("detail"), DETAIL)
            survivor, similarity, chunks = map(detail.field, ("survivor", "similarity", "chunks"))
            compared = (batch.column(name).to_pylist() for name in ("doc_id", "repository",
                                                                    "language"))  # fmt: skip
            units = map(compared_as, *compared, survivor.to_pylist())
            yield pa.table({
                "doc_id": batch.column("doc_id"),
                "unit": pa.array(units, pa.string()),
                "stage": pa.array([stage] * len(batch), pa.int64()),
                "verdict": batch.column("verdict"),
                "reason": batch.column("reason"),
                "survivor": survivor,
                "similarity": pc.if_else(pc.equal(similarity, ""), None, similarity).cast("double"),
                "chunks": pc.if_else(pc.equal(chunks, ""), None, chunks),
            }, schema=_JUDGED)  # fmt: skip


def _ends(steps: I64) -> I64:
    """Where each row comes out that goes from row i to ``steps[i]``, and stays where that is -1."""
    last = np.arange(len(steps))
    while len(going := np.flatnonzero(steps[last] >= 0)):
        last[going] = steps[last[going]]
    return last


def compared_as(doc_id: str, repository: str, language: str, survivor: str) -> str:
    """What a document was compared as, if it was dropped for ``survivor``: itself or, where that
    is one, its repository, with ``:language`` where only files of one language were compared."""
    if DOC_ID.fullmatch(survivor):
        return doc_id
    return f"{repository}:{language}" if survivor.endswith(f":{language}") else repository
