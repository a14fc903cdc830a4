"""The story of one file: its decisions, stage by stage, from the lake."""

from __future__ import annotations

from typing import Any

from assets.resources import Factory

#: Stages in the order a file meets them.
STAGES = (
    "raw_code",
    "selected_code",
    "exact_deduped_code",
    "fuzzy_deduped_code",
    "transformed_code",
    "filtered_code",
    "sampled_corpus",
    "heldout_code",
    "algorithmic_corpus",
)


def story(path: str, recipe: str, limit: int = 5) -> str:
    """What each stage decided about files whose repository and path end with ``path``.

    Raises ``LookupError`` when no decision of the recipe speaks of such a file.
    """
    import pyarrow.compute as pc
    import pyarrow.dataset as pads

    factory = Factory()
    found: dict[str, list[str]] = {}
    for stage in STAGES:
        table = factory.held(stage, recipe).table("decisions")
        where = pc.binary_join_element_wise(pads.field("repository"), pads.field("path"), "/")
        rows = pads.dataset(table, format="parquet").to_table(filter=pc.ends_with(where, path))
        for row in rows.to_pylist():
            found.setdefault(f"{row['repository']}/{row['path']}", []).append(_line(stage, row))
    if not found:
        raise LookupError(
            f"no file of recipe {recipe!r} ends with {path!r}; give the path inside its "
            "repository, or repository and path"
        )
    lines = []
    for name in sorted(found)[:limit]:
        lines += [name, *found[name], ""]
    if len(found) > limit:
        lines.append(f"... and {len(found) - limit} more files; give more of the path")
    return "\n".join(lines)


def _line(stage: str, row: dict[str, Any]) -> str:
    why = " ".join(part for part in (row["reason"], row["detail"]) if part)
    return f"  {stage:<20} {row['verdict']:<8} {why}".rstrip()
