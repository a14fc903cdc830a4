"""The report of one recipe: the summary table, the funnel, and the cards, as pages one can read.

Pure: it reads artifacts and writes Markdown and HTML. The summary rows are what ``make demo``
prints.
"""

from __future__ import annotations

import html
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assets.lake import Artifact
from assets.recipe import Recipe

STAGE = "report"
VERSION = "1"
TRAININGS = ("pretrained_model", "annealed_model", "sft_stage1_model", "sft_stage2_model")


@dataclass(frozen=True)
class Line:
    """One line of the summary."""

    what: str
    value: str
    note: str = ""


def run(out: Path, *, recipe: Recipe, artifacts: Mapping[str, Artifact]) -> None:
    """Write ``report.md`` and ``.html``, ``dataset_card.md``, ``model_card.md``, a funnel plot."""
    lines = summary(artifacts)
    funnel = rows(artifacts["funnel"], "funnel")
    reasons = rows(artifacts["drop_reasons"], "drop_reasons")
    composition = rows(artifacts["composition"], "composition")
    (out / "summary.json").write_text(
        json.dumps([line.__dict__ for line in lines], indent=1, ensure_ascii=False)
    )
    _plot_funnel(out / "funnel.png", funnel)
    pages = {
        "report": [
            f"# {recipe.name}: {recipe.description}", "", *_markdown(lines), "",
            "## Funnel", "", "![funnel](funnel.png)", "", *_table(funnel), "",
            "## Why files were dropped", "", *_table(reasons[:40]), "",
            "## Composition of the filtered crawl", "", *_table(composition[:40]), "",
        ],
        "dataset_card": _dataset_card(recipe, artifacts, composition, funnel),
        "model_card": _model_card(recipe, artifacts, lines),
    }  # fmt: skip
    for name, page in pages.items():
        (out / f"{name}.md").write_text("\n".join(page))
    (out / "report.html").write_text(_html(recipe, lines, funnel, reasons[:40], composition[:40]))


def summary(artifacts: Mapping[str, Artifact]) -> list[Line]:
    """The lines that say what a recipe made, from files to scores."""
    funnel = {row["stage"]: row for row in rows(artifacts["funnel"], "funnel")}
    crawl = rows(artifacts["raw_code"], "repositories")
    shards = json.loads((artifacts["token_shards"].path / "corpus" / "index.json").read_text())
    exact, fuzzy = funnel["exact_deduped_code"], funnel["fuzzy_deduped_code"]
    lines = [
        Line("repositories crawled", _count(len(crawl))),
        Line("files crawled", _count(funnel["raw_code"]["files_in"]),
             f"{funnel['raw_code']['kept_bytes'] / 1e6:.1f} MB readable"),
        Line("files selected", _count(funnel["selected_code"]["kept_files"])),
        Line("exact duplicates removed", _count(exact["dropped_files"])),
        Line("near-duplicates removed", _count(fuzzy["dropped_files"])),
        Line("files kept by the filters", _count(funnel["filtered_code"]["kept_files"]),
             f"{funnel['filtered_code']['kept_bytes'] / 1e6:.1f} MB"),
        Line("files in the corpus", _count(funnel["sampled_corpus"]["kept_files"]),
             f"{funnel['sampled_corpus']['kept_bytes'] / 1e6:.1f} MB"),
        Line("tokens in the corpus", _count(shards["tokens"])),
        Line("pages extracted", _count(artifacts["web_text"].rows("documents"))),
        Line("verified functions", _count(artifacts["verified_snippets"].rows("documents"))),
        Line("instruction examples",
             f"{artifacts['sft_stage1_set'].rows('examples')} + "
             f"{artifacts['sft_stage2_set'].rows('examples')}", "stage 1 + stage 2"),
    ]  # fmt: skip
    for name in TRAININGS:
        facts = json.loads((artifacts[name].path / "summary.json").read_text())
        bits = facts["heldout_bits_per_byte"]
        measured = bits["before"] is not None and bits["after"] is not None
        lines.append(
            Line(
                f"{name}: held-out bits per byte",
                f"{bits['before']:.3f} -> {bits['after']:.3f}" if measured else "not measured",
                f"{facts['steps']} steps, {_count(facts['tokens'])} tokens",
            )
        )
    lines += _against_xz(artifacts)
    for name in ("base_scores", "chat_scores", "teacher_scores"):
        lines += _score_lines(name.removesuffix("_scores"), artifacts[name])
    return lines


def rows(artifact: Artifact, table: str) -> list[dict[str, Any]]:
    """All rows of one table of an artifact."""
    import pyarrow.dataset as pads

    found: list[dict[str, Any]] = (
        pads.dataset(artifact.table(table), format="parquet").to_table().to_pylist()
    )
    return found


def _against_xz(artifacts: Mapping[str, Artifact]) -> list[Line]:
    """The bar of a small model: is it better than a compressor on the same files?"""
    scores = {
        (row["benchmark"], row["metric"]): row["value"]
        for row in rows(artifacts["base_scores"], "scores")
    }
    if ("heldout", "xz_joined_bits_per_byte") not in scores:
        return []  # the recipe keeps no repository out of training
    xz = scores[("heldout", "xz_joined_bits_per_byte")]
    facts = json.loads((artifacts["pretrained_model"].path / "summary.json").read_text())
    ours = facts["heldout_bits_per_byte"]["after"]
    verdict = "below" if ours < xz else "NOT below"
    note = f"pretrained model is {verdict} it by {abs(xz - ours):.3f}"
    if ("heldout", "xz_by_file_bits_per_byte") in scores:
        note += f"; each file alone: {scores[('heldout', 'xz_by_file_bits_per_byte')]:.3f}"
    return [Line("xz -9 on the held-out files", f"{xz:.3f}", note)]


def _score_lines(model: str, artifact: Artifact) -> list[Line]:
    lines = []
    for row in rows(artifact, "scores"):
        if row["benchmark"] == "heldout" and row["metric"] != "bits_per_byte":
            continue
        interval = "" if row["low"] is None else f"[{row['low']:.3f}, {row['high']:.3f}]"
        lines.append(
            Line(f"{model}: {row['benchmark']} {row['metric']}", f"{row['value']:.3f}",
                 f"{interval} n={row['n']}".strip())
        )  # fmt: skip
    return lines


def _count(number: int) -> str:
    return f"{number:,}"


def _markdown(lines: Sequence[Line]) -> list[str]:
    body = [f"| {line.what} | {line.value} | {line.note} |" for line in lines]
    return ["| what | value | |", "| --- | --- | --- |", *body]


def _table(found: Sequence[Mapping[str, Any]]) -> list[str]:
    if not found:
        return ["(nothing)"]
    names = list(found[0])
    body = [f"| {' | '.join(_cell(row[name]) for name in names)} |" for row in found]
    return [f"| {' | '.join(names)} |", "|" + " --- |" * len(names), *body]


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _dataset_card(
    recipe: Recipe,
    artifacts: Mapping[str, Artifact],
    composition: Sequence[Mapping[str, Any]],
    funnel: Sequence[Mapping[str, Any]],
) -> list[str]:
    licences: dict[str, int] = {}
    for row in rows(artifacts["raw_code"], "repositories"):
        name = row["license"] or "not stated"
        licences[name] = licences.get(name, 0) + 1
    return [
        "---", f"pretty_name: {recipe.name} corpus", "task_categories: [text-generation]",
        "tags: [code]", "---", "", f"# Corpus of the recipe {recipe.name}", "",
        f"Digest `{artifacts['sampled_corpus'].digest}`, "
        f"{artifacts['sampled_corpus'].rows('documents'):,} files. Crawled files keep the licences "
        "of their repositories; personal data was replaced by placeholders; repositories named in "
        f"`crawl.heldout_repositories` ({', '.join(recipe.crawl.heldout_repositories) or 'none'}) "
        "are not in it.", "",
        "## How it was made", "", *_table(funnel), "",
        "## Languages", "", *_table(composition[:60]), "", "## Licences of the repositories", "",
        *_table([{"licence": k, "repositories": v} for k, v in sorted(licences.items())]), "",
    ]  # fmt: skip


def _model_card(
    recipe: Recipe, artifacts: Mapping[str, Artifact], lines: Sequence[Line]
) -> list[str]:
    chat = artifacts["sft_stage2_model"]
    return [
        "---", "library_name: transformers", "tags: [code]", "---", "",
        f"# {recipe.name}", "", recipe.description, "",
        f"Chat checkpoint digest `{chat.digest}`; recipe digest `{recipe.digest()}`.", "",
        "Trained by the OpenCoder recipe (arXiv 2411.04905): pretraining at a constant learning "
        "rate, annealing, instruction tuning in stages. It writes code that nobody checked: run "
        "it in a sandbox.", "", "## Scores", "", *_markdown(lines), "",
    ]  # fmt: skip


def _html(recipe: Recipe, lines: Sequence[Line], *tables: Sequence[Mapping[str, Any]]) -> str:
    titles = ("Funnel", "Why files were dropped", "Composition of the filtered crawl")
    parts = [
        f"<h1>{html.escape(recipe.name)}</h1><p>{html.escape(recipe.description)}</p>",
        _html_table([line.__dict__ for line in lines]),
        '<img src="funnel.png" alt="files kept by each stage">',
    ]
    for title, table in zip(titles, tables, strict=True):
        parts.append(f"<h2>{title}</h2>{_html_table(table)}")
    style = (
        "body{font:15px/1.5 system-ui;max-width:70rem;margin:2rem auto;padding:0 1rem}"
        "table{border-collapse:collapse}td,th{padding:.2rem .8rem;border-bottom:1px solid #ddd;"
        "text-align:left}img{max-width:100%}"
    )
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{recipe.name}</title>'
        f"<style>{style}</style>{''.join(parts)}</html>\n"
    )


def _html_table(found: Sequence[Mapping[str, Any]]) -> str:
    if not found:
        return "<p>(nothing)</p>"
    head = "".join(f"<th>{html.escape(name)}</th>" for name in found[0])
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(_cell(v))}</td>" for v in row.values()) + "</tr>"
        for row in found
    )
    return f"<table><tr>{head}</tr>{body}</table>"


def _plot_funnel(path: Path, funnel: Sequence[Mapping[str, Any]]) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    stages = [row["stage"] for row in funnel][::-1]
    figure, axes = plt.subplots(figsize=(8, 3.2), layout="constrained")
    axes.barh(stages, [row["kept_files"] for row in funnel][::-1], color="#4477aa", label="kept")
    axes.barh(
        stages,
        [row["dropped_files"] for row in funnel][::-1],
        left=[row["kept_files"] for row in funnel][::-1],
        color="#ddaa33",
        label="dropped",
    )
    axes.set_xlabel("files")
    axes.legend()
    figure.savefig(path, dpi=110, metadata={"Software": None})
    plt.close(figure)
