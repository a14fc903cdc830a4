"""The cluster of one file: who stayed, why, how alike the others are, and where they differ.

Read from the lake: decisions of both deduplication stages name the unit that stayed and the
similarity to it, documents of the stages' input have the facts of the keep rule and the texts. The
survivor of an exact group may be dropped as a near-duplicate later, so survivors are followed.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from assets.lake import Artifact
from assets.refinecode.exact_dedup import REASON as EXACT
from assets.resources import Factory
from orchestration.dedup_outcomes import DETAIL, DOC_ID, compared_as

#: Input of deduplication, then its stages in order.
_INPUT, _STAGES = "selected_code", ("exact_deduped_code", "fuzzy_deduped_code")
_FACTS = ("doc_id", "repository", "path", "language", "stars", "popularity_percentile",
          "commit_time", "size_bytes")  # fmt: skip
_ALTERNATIVES = 8
_MEMBERS = 40


@dataclass(frozen=True)
class Drop:
    """One dropped document: by which stage, for which survivor, and how similar to it."""

    doc_id: str
    repository: str
    path: str
    language: str
    stage: str
    reason: str
    survivor: str
    similarity: float | None

    @property
    def unit(self) -> str:
        """What was compared: the file, or its repository where the survivor is one."""
        return compared_as(self.doc_id, self.repository, self.language, self.survivor)


@dataclass(frozen=True)
class Cluster:
    """Units that are duplicates of one another. ``dropped`` has no unit twice."""

    survivor: str
    dropped: tuple[Drop, ...]

    @property
    def of_files(self) -> bool:
        return DOC_ID.fullmatch(self.survivor) is not None


def duplicates(path: str, recipe: str, diff_lines: int = 120) -> str:
    """The cluster of the file whose repository and path end with ``path``, as text for people.

    At most ``diff_lines`` lines of the unified diff with the file that was kept are shown. Raises
    ``LookupError`` when ``path`` fits no file that deduplication saw, or several of them.
    """
    factory = Factory()
    documents, stages = factory.held(_INPUT, recipe), [factory.held(s, recipe) for s in _STAGES]
    file = _the_file(path, recipe, factory, documents)
    cluster = find_cluster(file, stages)
    head = f"{_name(file)}  ({file['language']}, {file['size_bytes']:,} bytes)"
    if not cluster.dropped:
        cut = list(_cut(file, documents, stages, diff_lines))
        unique = ["unique: deduplication found no other file like it, and kept it"]
        return "\n".join([head, *(cut or unique)])
    report = _files_report if cluster.of_files else _repositories_report
    return "\n".join([head, *report(file, cluster, documents, diff_lines)])


def find_cluster(file: dict[str, Any], stages: list[Artifact]) -> Cluster:
    """The cluster of a file (a row with doc_id, repository and language), survivors followed."""
    repository = file["repository"]
    unit, names = file["doc_id"], {
        file["doc_id"], repository, f"{repository}:{file['language']}"
    }  # fmt: skip
    for stage in stages:
        if drop := next(_drops(stage, names), None):
            unit, names = drop.survivor, {drop.survivor}
    found: dict[str, Drop] = {}
    for stage in reversed(stages):
        for drop in _drops(stage, names | set(found), of_survivors=True):
            found.setdefault(drop.unit, drop)
    if unit == file["doc_id"]:
        own = {drop.survivor for drop in found.values()} & names
        if own and unit not in own:  # it was kept as part of a repository that has duplicates
            unit = min(own)
    if DOC_ID.fullmatch(unit):
        found = {u: d for u, d in found.items() if DOC_ID.fullmatch(u)}
    found = {u: _to_the_end(drop, found) for u, drop in found.items()}
    order = sorted(found.values(), key=lambda d: (-(d.similarity or 0), d.repository, d.path))
    return Cluster(unit, tuple(order))


def _to_the_end(drop: Drop, found: Mapping[str, Drop]) -> Drop:
    """``drop`` with its similarity to the last survivor: that of its own one, whose text it has
    where it was dropped as an exact duplicate, and unknown otherwise."""
    via = found.get(drop.survivor)
    if via is None or via.survivor == via.unit:  # a file that an earlier crawl had survives itself
        return drop
    alike = _to_the_end(via, found).similarity if drop.reason == EXACT else None
    return replace(drop, similarity=alike)


def _drops(stage: Artifact, names: set[str], of_survivors: bool = False) -> Iterator[Drop]:
    """Documents that ``stage`` dropped: those called by ``names`` (doc_ids or units), or those
    whose survivor is. Decisions are streamed, never held at once."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.dataset as pads

    table = pads.dataset(stage.table("decisions"), format="parquet")
    columns = ["doc_id", "repository", "path", "language", "stage", "reason", "detail"]
    wanted = pa.array(sorted(names), pa.string())
    where = pads.field("verdict") == "dropped"
    if not of_survivors:
        both = pc.binary_join_element_wise(pads.field("repository"), pads.field("language"), ":")
        where &= (
            pads.field("doc_id").isin(wanted)
            | pads.field("repository").isin(wanted)
            | both.isin(wanted)
        )
    for batch in table.to_batches(columns=columns, filter=where):
        details = pc.extract_regex(batch.column("detail"), DETAIL)
        rows = batch.append_column("survivor", details.field("survivor")).append_column(
            "similarity", details.field("similarity")
        )
        if of_survivors:
            rows = rows.filter(pc.is_in(details.field("survivor"), wanted))
        for row in rows.to_pylist():
            del row["detail"]
            alike = float(row["similarity"]) if row["similarity"] else None
            drop = Drop(**{**row, "similarity": alike})
            if drop.survivor and (of_survivors or {drop.doc_id, drop.unit} & names):
                yield drop


def _the_file(path: str, recipe: str, factory: Factory, documents: Artifact) -> dict[str, Any]:
    import pyarrow.compute as pc
    import pyarrow.dataset as pads

    where = pc.binary_join_element_wise(pads.field("repository"), pads.field("path"), "/")
    table = pads.dataset(documents.table("documents"), format="parquet")
    found = table.to_table(list(_FACTS), filter=pc.ends_with(where, path)).to_pylist()
    exact = [row for row in found if path in (row["path"], _name(row))]
    if len(exact) == 1 or len(found) == 1:
        return (exact if len(exact) == 1 else found)[0]
    if found:
        names = sorted(_name(row) for row in found)
        more = f"\n  ... and {len(names) - _ALTERNATIVES} more" * (len(names) > _ALTERNATIVES)
        raise LookupError(
            f"{len(names)} files of recipe {recipe!r} end with {path!r}; give more of the path:"
            + "".join(f"\n  {name}" for name in names[:_ALTERNATIVES])
            + more
        )
    selection = pads.dataset(documents.table("decisions"), format="parquet")
    refused = selection.to_table(filter=pc.ends_with(where, path)).to_pylist()
    if refused:
        row = refused[0]
        why = " ".join(part for part in (row["reason"], row["detail"]) if part)
        raise LookupError(
            f"{_name(row)} never reached deduplication: {_INPUT} {row['verdict']} it ({why}); "
            f"`cookbook explain` tells its story"
        )
    raise LookupError(
        f"no file of recipe {recipe!r} ends with {path!r}; give the path inside its repository, "
        "or repository and path"
    )


def _files_report(
    file: dict[str, Any], cluster: Cluster, documents: Artifact, diff_lines: int
) -> Iterator[str]:
    facts = _facts(documents, {cluster.survivor, *(drop.doc_id for drop in cluster.dropped)})
    survives_itself = any(drop.unit == cluster.survivor for drop in cluster.dropped)
    kept = None if survives_itself else facts.get(cluster.survivor)
    members = [facts[drop.doc_id] for drop in cluster.dropped]
    yield f"one of {len(members) + 1} files that are duplicates"
    if kept is None:
        yield f"kept: a file of an earlier crawl, {cluster.survivor}"
    else:
        runner_up = min(members, key=keep_key)
        yield f"kept: {_name(kept)}" + ("  (this file)" if kept == file else "")
        yield f"why:  {keep_reason(kept, runner_up)}"
    yield ""
    yield _TABLE.format("similarity", "found as", "stars", "popularity", "commit", "file")
    if kept is not None:
        yield _TABLE.format("", "kept", *_keep_facts(kept), _name(kept))
    shown = cluster.dropped[:_MEMBERS]
    for drop in shown:
        row = facts[drop.doc_id]
        mark = "  <- this file" if row == file else ""
        yield _TABLE.format(_similarity(drop), drop.reason, *_keep_facts(row), _name(row) + mark)
    if len(cluster.dropped) > len(shown):
        yield f"... and {len(cluster.dropped) - len(shown)} more"
    if kept is None:
        return
    other = file if file != kept else facts[cluster.dropped[-1].doc_id]
    texts = _texts(documents, {kept["doc_id"], other["doc_id"]})
    yield ""
    yield from _diff(f"{_name(kept)}  (kept)", f"{_name(other)}  (dropped)",
                     texts[kept["doc_id"]], texts[other["doc_id"]], diff_lines)  # fmt: skip


def _repositories_report(
    file: dict[str, Any], cluster: Cluster, documents: Artifact, diff_lines: int
) -> Iterator[str]:
    import pyarrow.dataset as pads

    survivor = cluster.survivor
    its_own = survivor in (file["repository"], f"{file['repository']}:{file['language']}")
    yield f"its repository is one of {len(cluster.dropped) + 1} that are duplicates as a whole"
    yield f"kept: {survivor}" + ("  (its own)" if its_own else "")
    yield ""
    yield f"{'similarity':>10}  {'found as':<16}  repository"
    yield f"{'':>10}  {'kept':<16}  {survivor}"
    for drop in cluster.dropped[:_MEMBERS]:
        mark = "  <- of this file" if drop.repository == file["repository"] else ""
        yield f"{_similarity(drop):>10}  {drop.reason:<16}  {drop.repository}{mark}"
    repository = cluster.dropped[-1].repository if its_own else survivor
    repository = repository.removesuffix(f":{file['language']}")
    where = (pads.field("repository") == repository) & (pads.field("path") == file["path"])
    table = pads.dataset(documents.table("documents"), format="parquet")
    same = table.to_table(list(_FACTS), filter=where).to_pylist()
    yield ""
    if not same:
        yield f"{repository} has no file {file['path']}"
        return
    kept, other = (file, same[0]) if its_own else (same[0], file)
    texts = _texts(documents, {kept["doc_id"], other["doc_id"]})
    yield from _diff(f"{_name(kept)}  (kept)", f"{_name(other)}  (dropped)",
                     texts[kept["doc_id"]], texts[other["doc_id"]], diff_lines)  # fmt: skip


def _cut(
    file: dict[str, Any], documents: Artifact, stages: list[Artifact], diff_lines: int
) -> Iterator[str]:
    """What a file lost where chunks are compared."""
    import pyarrow.dataset as pads

    where = pads.field("doc_id") == file["doc_id"]
    changed = False
    for stage in stages:
        table = pads.dataset(stage.table("decisions"), format="parquet")
        rows = table.to_table(["detail"], filter=where & (pads.field("verdict") == "changed"))
        for row in rows.to_pylist():
            changed = True
            yield f"kept, but chunks that another file has were cut: {row['detail']}"
    if changed:
        ids = {file["doc_id"]}
        before, after = _texts(documents, ids), _texts(stages[-1], ids)
        yield ""
        yield from _diff(f"{_name(file)}  (crawled)", f"{_name(file)}  (kept)",
                         before[file["doc_id"]], after[file["doc_id"]], diff_lines)  # fmt: skip


def keep_key(row: dict[str, Any]) -> tuple[Any, ...]:
    """Sort key of the keep rule, best first, as :func:`assets.refinecode.mapping.keep_order`."""
    stars, percentile = row["stars"], row["popularity_percentile"]
    stand_in = percentile if stars is None and percentile is not None else -1.0
    commit = row["commit_time"]
    latest = -commit.timestamp() if commit else float("inf")
    return -(-1 if stars is None else stars), -stand_in, latest, row["doc_id"]


def keep_reason(kept: dict[str, Any], other: dict[str, Any]) -> str:
    """Which part of the keep rule put ``kept`` before ``other``, in words."""
    mine, theirs = keep_key(kept), keep_key(other)
    if mine[0] != theirs[0]:
        next_best = "unknown" if other["stars"] is None else f"{other['stars']:,}"
        return f"most stars: {kept['stars']:,}, next {next_best}"
    if mine[1] != theirs[1]:
        next_best = "unknown" if theirs[1] == 1.0 else f"{-theirs[1]:.1f}"
        return f"most popular: percentile {-mine[1]:.1f}, next {next_best}"
    if mine[2] != theirs[2]:
        return f"latest commit: {_day(kept)}, next {_day(other)}"
    return "smallest doc_id: stars, popularity and commit time decide nothing"


def _facts(documents: Artifact, ids: set[str]) -> dict[str, dict[str, Any]]:
    import pyarrow as pa
    import pyarrow.dataset as pads

    table = pads.dataset(documents.table("documents"), format="parquet")
    where = pads.field("doc_id").isin(pa.array(sorted(ids), pa.string()))
    rows = table.to_table(list(_FACTS), filter=where).to_pylist()
    return {row["doc_id"]: row for row in rows}


def _texts(documents: Artifact, ids: set[str]) -> dict[str, str]:
    import pyarrow as pa
    import pyarrow.dataset as pads

    table = pads.dataset(documents.table("documents"), format="parquet")
    where = pads.field("doc_id").isin(pa.array(sorted(ids), pa.string()))
    rows = table.to_table(["doc_id", "content"], filter=where).to_pylist()
    return {row["doc_id"]: row["content"] for row in rows}


def _diff(before: str, after: str, old: str, new: str, limit: int) -> Iterator[str]:
    """The unified diff of two texts and their names; at most ``limit`` lines of it."""
    if old == new:
        yield f"{after} is equal, byte for byte"
        return
    lines = list(
        difflib.unified_diff(old.splitlines(), new.splitlines(), before, after, lineterm="")
    )
    if not lines:
        yield f"{after} differs in line endings only"
    yield from lines[:limit]
    if len(lines) > limit:
        yield f"... and {len(lines) - limit} more lines; --lines shows more"


_TABLE = "{:>10}  {:<16}  {:>7}  {:>10}  {:>10}  {}"


def _keep_facts(row: dict[str, Any]) -> tuple[str, str, str]:
    stars = "-" if row["stars"] is None else f"{row['stars']:,}"
    percentile = row["popularity_percentile"]
    return stars, "-" if percentile is None else f"{percentile:.1f}", _day(row)


def _similarity(drop: Drop) -> str:
    return "-" if drop.similarity is None else f"{drop.similarity:.4f}"


def _day(row: dict[str, Any]) -> str:
    time: datetime | None = row["commit_time"]
    return "-" if time is None else f"{time:%Y-%m-%d}"


def _name(row: dict[str, Any]) -> str:
    return f"{row['repository']}/{Path(row['path']).as_posix()}"
