"""Recipes and variants: every choice that changes a result, in one validated YAML file.

A recipe is a tree of frozen pydantic models with one section per family of artifacts; defaults are
the paper's where the paper has them. A variant is a recipe plus named overrides, written
``starter~dedup_level=repository~seed=1``: a key is a dotted path, or the same path joined by
underscores. Settings (where and how things run) are not here: they never change a result.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

#: Recipes that come with the project; COOKBOOK_RECIPES names a folder of one's own beside it.
RECIPES = Path(__file__).resolve().parent.parent / "orchestration" / "recipes"

PositiveInt = Annotated[int, Field(gt=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]


class RecipeError(ValueError):
    """A recipe or variant that cannot be run; the message names file, key, and what is allowed."""


class Section(BaseModel):
    """Base of all sections: immutable, no unknown keys, no silent coercion of types."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Source(Section):
    """Where raw code comes from: exactly one of ``manifest``, ``folder`` or ``git``."""

    manifest: Literal["starter"] | None = Field(None, description="pinned release archives")
    tier: Literal["core", "extended"] = Field("core", description="extended adds 9 archives")
    only: list[str] = Field(default=[], description="names of the manifest to keep; empty: all")
    without: list[str] = Field(default=[], description="names of the manifest to leave out")
    folder: str | None = Field(None, description="a folder of your own: each sub-folder that is a "
                               "git checkout is a repository, else the folder is one")  # fmt: skip
    git: str | None = Field(None, description="a git checkout: its tracked files at HEAD")
    license: str | None = Field(None, description="licence of a folder or git source")

    @model_validator(mode="after")
    def _exactly_one(self) -> Source:
        given = [k for k in ("manifest", "folder", "git") if getattr(self, k) is not None]
        if len(given) != 1:
            raise ValueError(
                f"give exactly one of manifest, folder or git, found {given or 'none'}"
            )
        return self


class Crawl(Section):
    """What is crawled, within which limits, and which repositories are never trained on."""

    source: Source = Source(manifest="starter")
    heldout_repositories: list[str] = Field(
        default=[], description="repositories kept for held-out bits per byte"
    )
    max_archive_bytes: PositiveInt = Field(256_000_000, description="unpacked size of one archive")
    max_member_bytes: PositiveInt = Field(16_000_000, description="size of one file")
    max_members: PositiveInt = Field(100_000, description="files in one archive")


class Select(Section):
    """Size and language selection (paper 2.1.1, preprocess)."""

    max_bytes: PositiveInt = Field(8_000_000, description="larger files are dropped (paper: 8 MB)")
    min_stars: int | None = Field(None, ge=0, description="star filter of the paper's ablation 6.3")


class Dedup(Section):
    """Exact and fuzzy deduplication (paper 2.1.1; levels: 6.1).

    Bands come from ``preset``, from ``threshold`` and ``permutations`` (the weighted area of false
    positives and negatives is least), or as ``bands`` x ``rows``; what is derived is filled in, so
    the fields always say what will be done.
    """

    level: Literal[
        "repository+file+chunk",
        "repository+file",
        "repository+chunk",
        "file+chunk",
        "chunk",
        "file",
        "repository",
        "none",
    ] = Field("file", description="what is compared and kept as one; a+b: first a, then b")
    across: Literal["corpus", "language"] = Field(
        "corpus", description="language: only files of the same language are compared"
    )
    exact: bool = True
    fuzzy: bool = True
    preset: Literal["paper", "stack", "verified"] | None = Field(
        None, description="permutations, bands, rows and verification by a name"
    )
    threshold: float | None = Field(
        None, gt=0, lt=1, description="Jaccard similarity that bands and rows are chosen for"
    )
    permutations: PositiveInt = Field(2048, description="MinHash functions")
    bands: PositiveInt = 16
    rows: PositiveInt = Field(128, description="rows of a band")
    ngram: PositiveInt = Field(5, description="tokens in a shingle")
    unit: Literal["word", "char", "token"] = Field("word", description="what a token is")
    sketch: Literal["fast", "exact"] = Field(
        "fast", description="exact: independent permutations; fast: less error in less time"
    )
    verify: Literal["none", "signature", "exact"] = Field(
        "none", description="compare pairs that share a band before they count as duplicates"
    )
    min_similarity: Fraction | None = Field(
        None, description="of a verified pair; null: where the curve of the bands rises"
    )
    chunk_tokens: PositiveInt = Field(
        4096, description="words between white space in a chunk (paper: 4096 tokens)"
    )
    against: list[str] = Field(
        default=[], description="recipes whose kept files were there before: like ones are dropped"
    )

    @model_validator(mode="before")
    @classmethod
    def _derive(cls, given: Any) -> Any:
        """Fill in what a preset or a threshold decides; a different value beside it is an error."""
        if not isinstance(given, dict):
            return given
        derived: dict[str, Any] = {}
        preset, threshold = given.get("preset"), given.get("threshold")
        if preset is not None and threshold is not None:
            raise ValueError(f"give preset or threshold, found {preset!r} and {threshold!r}")
        if preset in ("paper", "stack", "verified"):
            from assets.refinecode.minhash import PRESETS

            chosen = PRESETS[preset]
            derived = {name: getattr(chosen.params, name)
                       for name in ("permutations", "bands", "rows")}  # fmt: skip
            if chosen.verify != "none":
                derived |= {"verify": chosen.verify}
                given = {"min_similarity": chosen.min_similarity, **given}
        elif isinstance(threshold, float) and 0 < threshold < 1:
            from assets.refinecode.minhash import choose_bands

            permutations = given.get("permutations", 2048)
            if isinstance(permutations, int) and permutations > 0:
                bands, rows = choose_bands(threshold, permutations)
                derived = {"bands": bands, "rows": rows}
        for name, value in derived.items():
            if given.get(name, value) != value:
                what = f"preset {preset!r}" if preset else f"threshold {threshold:g}"
                raise ValueError(
                    f"{name}: {what} means {value}, found {given[name]!r}; leave one of them out"
                )
        return {**given, **derived}

    @model_validator(mode="after")
    def _fits(self) -> Dedup:
        if self.bands * self.rows > self.permutations:
            raise ValueError(
                f"bands x rows = {self.bands * self.rows} needs at least that many permutations, "
                f"found {self.permutations}"
            )
        if self.against and not (self.fuzzy and "file" in self.levels):
            raise ValueError(
                "against: band hashes of earlier files are kept at level file with fuzzy: true, "
                f"found level {self.level}, fuzzy {str(self.fuzzy).lower()}"
            )
        return self

    @property
    def levels(self) -> tuple[Literal["repository", "file", "chunk"], ...]:
        """The levels in the order of their passes; empty for ``none``."""
        names: tuple[Literal["repository", "file", "chunk"], ...] = ("repository", "file", "chunk")
        return tuple(name for name in names if name in self.level.split("+"))

    @property
    def floor(self) -> float:
        """Similarity that a verified pair must reach: ``min_similarity``, else the threshold, else
        ``(1 / bands)**(1 / rows)``."""
        if self.min_similarity is not None:
            return self.min_similarity
        return self.threshold or float((1 / self.bands) ** (1 / self.rows))


class Transform(Section):
    """Repairs applied before filtering (paper 2.1.1)."""

    copyright: bool = Field(True, description="cut the leading copyright comment")
    pii: bool = Field(True, description="replace e-mails, IP addresses, keys by placeholders")


class Filters(Section):
    """Heuristic quality rules over the signals of a file (paper appendix A)."""

    enabled: bool = True
    rules: Literal["opencoder", "cookbook"] = Field(
        "cookbook", description="opencoder: the released filter; cookbook: its defects repaired"
    )
    thresholds: dict[str, float | dict[Literal["min", "max", "equals"], float | None] | None] = (
        Field(
            default={},
            description="signal to bound, where it differs from the rule table: a number for the "
            "only bound of a rule, {min: , max: } for sides by name, null for no bound",
        )
    )

    @model_validator(mode="after")
    def _rules_exist(self) -> Filters:
        if self.thresholds:
            from assets.refinecode.filters.rules import check_names

            check_names(self.thresholds, self.rules)
        return self


class Sample(Section):
    """Byte budgets per language, planned by dbt (paper 2.1.1: Java 200 GB, HTML 64 GB)."""

    total_bytes: PositiveInt | None = Field(None, description="of the corpus; null: no limit")
    language_bytes: dict[str, int] = Field(default={}, description="budget of single languages")
    max_language_share: Fraction = Field(1.0, description="of total_bytes, for one language")


class Web(Section):
    """Extraction of text from pages (paper 2.1.2)."""

    min_chars: PositiveInt = Field(
        200, description="shorter main text falls back to the whole page"
    )


class Tokenizer(Section):
    """Byte-level BPE (the paper gives the size only, table 4)."""

    vocab_size: PositiveInt = Field(96_640, multiple_of=128)
    max_bytes: PositiveInt = Field(20_000_000_000, description="of text the merges are learnt from")
    language_exponent: Fraction = Field(
        1.0, description="a language's share is its bytes to this power; below 1 lifts small ones"
    )


class Model(Section):
    """Llama architecture; defaults are the 1.5B model (paper table 4 and published config)."""

    hidden_size: PositiveInt = 2240
    intermediate_size: PositiveInt = 6144
    num_hidden_layers: PositiveInt = 24
    num_attention_heads: PositiveInt = 14
    num_key_value_heads: PositiveInt = 14
    head_dim: PositiveInt = 160
    rope_theta: float = 10_000.0
    rms_norm_eps: float = 1e-5
    initializer_range: float = 0.02
    tie_word_embeddings: bool = False

    @model_validator(mode="after")
    def _heads(self) -> Model:
        if self.num_attention_heads % self.num_key_value_heads:
            raise ValueError(
                f"num_attention_heads ({self.num_attention_heads}) must be a multiple of "
                f"num_key_value_heads ({self.num_key_value_heads})"
            )
        return self


class Optimizer(Section):
    """The paper names no optimizer; AdamW with the field's usual values is assumed.

    Muon (orthogonalised momentum for matrices) learns more from the few tokens of a demo.
    """

    name: Literal["adamw", "muon"] = "adamw"
    beta1: Fraction = 0.9
    beta2: Fraction = 0.95
    weight_decay: float = Field(0.1, ge=0)
    grad_clip: float = Field(1.0, gt=0)


class Pretrain(Section):
    """Warmup and stable phase of WSD (paper 3.2)."""

    steps: PositiveInt
    context_length: PositiveInt = 4096
    batch_size: PositiveInt = Field(1024, description="sequences per optimizer step")
    micro_batch_size: PositiveInt = 4
    lr: float = Field(3e-4, gt=0)
    warmup_steps: int = Field(2000, ge=0)
    checkpoint_every_steps: PositiveInt = 1000
    keep_every_steps: PositiveInt | None = Field(
        None, description="keep the checkpoint of every n-th step, to anneal from or to release"
    )
    optimizer: Optimizer = Optimizer()


class Anneal(Section):
    """Decay phase of WSD and its mix (paper 2.2, table 3: 84 / 12.4 / 2.7 / 0.9 %)."""

    steps: PositiveInt
    from_step: PositiveInt | None = Field(
        None, description="stable checkpoint to branch from; null: the end of pretraining"
    )
    lr_end: float = Field(1e-5, gt=0)
    mix: dict[Literal["corpus", "algorithmic", "snippets"], Fraction] = {
        "corpus": 0.84, "algorithmic": 0.124, "snippets": 0.036,
    }  # fmt: skip
    algorithmic_keywords: list[str] = Field(
        ["leetcode", "def solution", "class solution"],
        min_length=1,
        description="a document with one of these, in any case, is algorithmic (paper 2.2)",
    )
    max_snippet_candidates: PositiveInt = Field(
        20_000, description="functions whose doctests are run, in the order of their hashes"
    )

    @model_validator(mode="after")
    def _sums_to_one(self) -> Anneal:
        if abs(sum(self.mix.values()) - 1) > 1e-6:
            raise ValueError(f"the shares of mix must sum to 1, found {sum(self.mix.values())}")
        return self


class SftStage(Section):
    """One stage of instruction tuning (paper 4.3)."""

    epochs: PositiveInt
    lr: float = Field(gt=0)
    batch_size: PositiveInt
    micro_batch_size: PositiveInt = 8
    warmup_steps: int = Field(100, ge=0)
    max_length: PositiveInt = Field(description="tokens; longer examples are truncated")
    max_examples: PositiveInt | None = None


class Sft(Section):
    """Two-stage instruction tuning and the strategies that the ablation compares (paper 6.4)."""

    strategy: Literal[
        "two_stage", "stage1_only", "stage2_only", "mixed", "reversed", "progressive"
    ] = Field(
        "two_stage",
        description="mixed: one shuffled run over both sets; reversed: stage 2 first; progressive: "
        "one run whose share of stage 2 rises from none to all",
    )
    stage1: SftStage = SftStage(epochs=1, lr=2e-5, batch_size=4096, max_length=1216)
    stage2: SftStage = SftStage(epochs=3, lr=5e-5, batch_size=512, max_length=1500,
                                micro_batch_size=4)  # fmt: skip


class Decontaminate(Section):
    """Removal of instruction data that touches a test set (paper 4.4)."""

    ngram: PositiveInt = Field(10, description="normalised words")
    entry_points: bool = True


class Evaluation(Section):
    """What is scored and how."""

    heldout_bytes: PositiveInt = Field(2_000_000, description="of held-out text that is scored")
    execution: bool = Field(True, description="run generated programs; false: likelihoods only")
    teacher_limit: PositiveInt = Field(164, description="HumanEval tasks the teacher is scored on")
    limit: PositiveInt | None = Field(None, description="tasks of a benchmark; null: all")
    max_new_tokens: PositiveInt = 512


class Recipe(Section):
    """Every choice that changes a result. See ``orchestration/recipes/*.yaml``."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9.\-]*$")
    description: str
    seed: int = Field(0, ge=0)
    crawl: Crawl = Crawl()
    select: Select = Select()
    dedup: Dedup = Dedup()
    transform: Transform = Transform()
    filters: Filters = Filters()
    sample: Sample = Sample()
    web: Web = Web()
    tokenizer: Tokenizer = Tokenizer()
    model: Model = Model()
    pretrain: Pretrain
    anneal: Anneal
    sft: Sft = Sft()
    decontaminate: Decontaminate = Decontaminate()
    evaluation: Evaluation = Evaluation()

    @model_validator(mode="after")
    def _context_fits(self) -> Recipe:
        longest = max(self.sft.stage1.max_length, self.sft.stage2.max_length)
        if longest > self.pretrain.context_length:
            raise ValueError(
                f"sft: max_length {longest} is beyond pretrain.context_length "
                f"{self.pretrain.context_length}: those positions would never have been trained"
            )
        return self

    @model_validator(mode="after")
    def _branch_exists(self) -> Recipe:
        step, kept = self.anneal.from_step, self.pretrain.keep_every_steps
        if step is not None and (kept is None or step % kept or step > self.pretrain.steps):
            raise ValueError(
                f"anneal: from_step {step} is no kept checkpoint; it must be a multiple of "
                f"pretrain.keep_every_steps ({kept}), at most pretrain.steps "
                f"({self.pretrain.steps})"
            )
        return self

    def digest(self) -> str:
        """Hash of every choice but the name and description (tag ``config_hash`` in MLflow)."""
        choices = self.model_dump(mode="json", exclude={"name", "description"})
        return hashlib.sha256(json.dumps(choices, sort_keys=True).encode()).hexdigest()[:16]


def recipe_files() -> dict[str, Path]:
    """Recipe files by name: one's own (folder COOKBOOK_RECIPES) go before the project's."""
    own = os.environ.get("COOKBOOK_RECIPES")
    folders = [RECIPES, *([Path(own)] if own else [])]
    return {path.stem: path for folder in folders for path in sorted(folder.glob("*.yaml"))}


def load_recipe(key: str) -> Recipe:
    """The recipe or variant of a partition key. Raises ``RecipeError``.

    >>> load_recipe("starter~dedup_level=repository~seed=1").dedup.level
    'repository'
    """
    base, overrides = parse_variant(key)
    path = recipe_files().get(base)
    if path is None:
        raise RecipeError(
            f"no recipe {base!r}: expected one of {', '.join(sorted(recipe_files()))} "
            f"(files in {RECIPES} and in the folder COOKBOOK_RECIPES)"
        )
    try:
        tree = yaml.safe_load(path.read_text())
    except yaml.YAMLError as error:
        raise RecipeError(f"{path}: not valid YAML: {error}") from error
    if not isinstance(tree, dict):
        raise RecipeError(f"{path}: expected a mapping of recipe sections, found {type(tree)}")
    if tree.get("name") != base:
        raise RecipeError(
            f"{path}: name: expected {base!r} (the file's name), found {tree.get('name')!r}"
        )
    for name, value in overrides.items():
        _override(tree, name, value, where=f"variant {key!r}")
    return parse_recipe(tree, where=str(path) if not overrides else f"{path} as variant {key!r}")


def parse_recipe(tree: Mapping[str, Any], where: str) -> Recipe:
    """Validate a parsed YAML tree; errors name the YAML path and what is allowed there."""
    try:
        return Recipe.model_validate_json(json.dumps(tree, default=str))
    except ValidationError as error:
        lines = [_explain(problem) for problem in error.errors()]
        raise RecipeError("\n".join([f"{where}: invalid recipe", *lines])) from error


def parse_variant(key: str) -> tuple[str, dict[str, Any]]:
    """Split ``base~a=1~b=x`` into the base recipe's name and its overrides (YAML scalars)."""
    base, *parts = key.split("~")
    overrides: dict[str, Any] = {}
    for part in parts:
        name, equals, value = part.partition("=")
        if not equals or not name or name in overrides:
            raise RecipeError(
                f"variant {key!r}: expected recipe~key=value~key=value with each key once, "
                f"found {part!r}"
            )
        overrides[name] = yaml.safe_load(value)
    return base, overrides


def variant_key(base: str, overrides: Mapping[str, Any]) -> str:
    """The partition key of a variant; the inverse of :func:`parse_variant`, keys sorted."""
    return "~".join([base, *(f"{k}={_scalar(v)}" for k, v in sorted(overrides.items()))])


def _scalar(value: Any) -> str:
    return json.dumps(value) if not isinstance(value, str) else value


def choice_paths(model: type[BaseModel] = Recipe, prefix: str = "") -> Iterator[str]:
    """Dotted paths of every single choice of a recipe."""
    for name, info in model.model_fields.items():
        kind = info.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from choice_paths(kind, f"{prefix}{name}.")
        else:
            yield prefix + name


def _override(tree: dict[str, Any], name: str, value: Any, where: str) -> None:
    paths = {path: path for path in choice_paths()}
    paths |= {path.replace(".", "_"): path for path in choice_paths()}
    if name not in paths or name in ("name", "description"):
        near = difflib.get_close_matches(name, sorted(set(paths.values())), n=3, cutoff=0.4)
        raise RecipeError(f"{where}: no choice {name!r} in a recipe; close ones: {near}")
    *sections, leaf = paths[name].split(".")
    for section in sections:
        tree = tree.setdefault(section, {})
        if not isinstance(tree, dict):
            raise RecipeError(f"{where}: {section} of the base recipe is not a mapping")
    tree[leaf] = value


def _explain(problem: Any) -> str:
    path = [part for part in problem["loc"] if isinstance(part, str | int)]
    where = ".".join(map(str, path)) or "(top level)"
    found = repr(problem["input"])
    found = found if len(found) < 80 else found[:77] + "..."
    if problem["type"] == "extra_forbidden":
        allowed = sorted(_fields_at(path[:-1]))
        near = difflib.get_close_matches(str(path[-1]), allowed, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        return f"  {where}: unknown key; allowed here: {', '.join(allowed)}{hint}"
    if problem["type"] == "missing":
        return f"  {where}: missing; this key has no default and must be given"
    message = problem["msg"].removeprefix("Value error, ")
    return f"  {where}: {message[0].lower()}{message[1:]}, found {found}"


def _fields_at(path: list[Any]) -> list[str]:
    model: Any = Recipe
    for part in path:
        info = model.model_fields.get(part) if hasattr(model, "model_fields") else None
        if info is None:
            return []
        model = info.annotation
    return list(getattr(model, "model_fields", {}))
